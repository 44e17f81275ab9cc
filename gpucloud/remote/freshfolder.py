"""Fills a folder that is not there yet beside the tree, then gives it its name: one rename instead of one a file."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from gpucloud.remote.folders import NEW_FILE, OPEN_FOLDER, Folders, remove_at

MOST_FILES = 64  # of a folder at once: what a killed pull has to fetch again
TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
NAME = "folder"


class FreshFolder:
    """The folder of a stage that is being filled, if any; `path` is what it will be called.

    Nothing is under that path before `place`, and what `place` puts there is whole.
    """

    def __init__(self, stage: int, folders: Folders) -> None:
        self._stage, self._folders = stage, folders
        self._descriptor = -1
        self._whole: list[str] = []
        self.path: str | None = None

    def begin(self, path: str) -> None:
        """Fill the folder `path` here, unless something is there already."""
        above, _, name = path.rpartition("/")
        parent = self._folders.at(above)
        with contextlib.suppress(FileNotFoundError):
            os.stat(name, dir_fd=parent, follow_symlinks=False)
            return
        if self._inherits_the_same(parent):
            os.mkdir(NAME, 0o777, dir_fd=self._stage)
            self._descriptor = os.open(NAME, OPEN_FOLDER, dir_fd=self._stage)
            self.path = path

    def _inherits_the_same(self, parent: int) -> bool:
        """Whether what is made in the stage gets the group that it would get in `parent`."""
        one, other = os.fstat(parent), os.fstat(self._stage)
        return (one.st_mode & stat.S_ISGID, one.st_gid) == (other.st_mode & stat.S_ISGID, other.st_gid)

    def create(self, name: str, mode: int) -> int:
        """A descriptor of a new file in the folder, or -1 where it takes no more. Call `done` when it is whole."""
        if len(self._whole) >= MOST_FILES:
            return -1
        try:
            return os.open(name, NEW_FILE, mode, dir_fd=self._descriptor)
        except FileExistsError:
            return -1

    def done(self, name: str) -> None:
        """The file `name` is whole."""
        self._whole.append(name)

    def place(self, *, cut: bool = False) -> None:
        """Give the folder its name. Where one has come meanwhile, or after a `cut`, the whole files go one by one."""
        if self.path is None:
            return
        path, self.path = self.path, None
        above, _, name = path.rpartition("/")
        try:
            if cut or not self._renamed(name, self._folders.at(above)):
                for one in self._whole:
                    os.rename(one, one, src_dir_fd=self._descriptor, dst_dir_fd=self._folders.at(path))
                remove_at(NAME, self._stage, True)
        finally:
            os.close(self._descriptor)
            self._whole = []

    def _renamed(self, name: str, parent: int) -> bool:
        try:
            os.rename(NAME, name, src_dir_fd=self._stage, dst_dir_fd=parent)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            return False
        return True
