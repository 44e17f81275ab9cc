"""Opens and empties folders below a root one by one without following links, so that no link leads outside."""

from __future__ import annotations

import contextlib
import os
import stat

from gpucloud.core.errors import SyncError

OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
LOOPS = (40, 62)  # ELOOP on Linux and macOS


class Folders:
    """Opens folders below a root, never through a link. Keeps the last one open: neighbours come in a row."""

    def __init__(self, root: str) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.path = ""
        self._open = self._root

    def close(self) -> None:
        """Give the descriptors back."""
        if self._open != self._root:
            os.close(self._open)
        os.close(self._root)
        self._open = self._root = -1

    def at(self, path: str, *, make: bool = True) -> int:
        """A descriptor of the folder `path`, valid until the next call. Missing ones are made."""
        if path == self.path:
            return self._open
        current = os.dup(self._root)
        try:
            for part in path.split("/") if path else []:
                below = _open_below(part, current, make)
                os.close(current)
                current = below
        except BaseException as error:
            os.close(current)
            if isinstance(error, NotADirectoryError) or getattr(error, "errno", 0) in LOOPS:
                raise SyncError(
                    f"{path} is not a plain folder here; nothing is written through links.", "Move it away."
                ) from None
            raise
        if self._open != self._root:
            os.close(self._open)
        self._open, self.path = current, path
        return current


def _open_below(name: str, folder: int, make: bool) -> int:
    try:
        return os.open(name, OPEN_FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
        with contextlib.suppress(FileExistsError):  # another stream of the same pull
            os.mkdir(name, 0o777, dir_fd=folder)
        return os.open(name, OPEN_FOLDER, dir_fd=folder)


def remove_at(name: str, folder: int, whole: bool) -> None:
    """Remove `name` in an open folder, never through a link; `whole`: with everything in it."""
    if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
        os.unlink(name, dir_fd=folder)
        return
    if whole:
        below = os.open(name, OPEN_FOLDER, dir_fd=folder)
        try:
            for one in os.listdir(below):
                remove_at(one, below, True)
        finally:
            os.close(below)
    with contextlib.suppress(*[OSError] * (not whole)):
        os.rmdir(name, dir_fd=folder)
