"""The one folder where gpucloud keeps what is the user's: where everything lies, and whose it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gpucloud.core.errors import StateConflict
from gpucloud.core.names import letters

HOME_ID_BYTES = 10


@dataclass(frozen=True)
class Home:
    """Paths below the home folder. Nothing is created before it is needed; folders are 0700, files 0600."""

    root: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Home:
        """`GPUCLOUD_HOME`, else the user's data folder of this operating system."""
        if environ.get("GPUCLOUD_HOME"):
            return cls(Path(environ["GPUCLOUD_HOME"]).expanduser().absolute())
        from platformdirs import user_data_path

        return cls(user_data_path("gpucloud", appauthor=False))

    @property
    def config_file(self) -> Path:
        return self.root / "config.yaml"

    @property
    def hosts_file(self) -> Path:
        return self.root / "hosts.yaml"

    @property
    def state_db(self) -> Path:
        return self.root / "state.db"

    @property
    def known_hosts(self) -> Path:
        return self.root / "known_hosts"

    @property
    def ssh_config(self) -> Path:
        return self.root / "ssh_config"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def catalog(self) -> Path:
        """The user's overlay of the shipped catalog."""
        return self.root / "catalog"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def local(self) -> Path:
        """Where the machines of the `local` cloud live."""
        return self.root / "local"

    @property
    def locks(self) -> Path:
        return self.root / "locks"

    @property
    def user_key(self) -> Path:
        """The user's SSH key pair; the public half has `.pub` appended."""
        return self.keys / "id_ed25519"

    def proof_file(self, deployment_id: str, attempt: int) -> Path:
        """Where the one-time token of an attempt waits until its machines have proved their keys."""
        return self.keys / f"proof-{deployment_id}-{attempt}"

    def home_id(self) -> str:
        """Sixteen letters that mark everything this home creates; made once, in a file of its own."""
        path = self.root / "home_id"
        try:
            return path.read_text().strip() or self._make_home_id(path)
        except FileNotFoundError:
            return self._make_home_id(path)
        except OSError as error:
            raise unusable(self.root, error) from error

    def _make_home_id(self, path: Path) -> str:
        import secrets  # loads hashlib and random, which no reading command needs

        self.folder(self.root)
        made = path.with_name(f".home_id-{os.getpid()}-{secrets.token_hex(4)}")
        write_private(made, letters(secrets.token_bytes(HOME_ID_BYTES)).encode())
        try:
            os.link(made, path)  # never replaces: the first of two processes wins
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            made.rename(path)
        finally:
            made.unlink(missing_ok=True)
        return path.read_text().strip()

    def folder(self, path: Path) -> Path:
        """Make a folder below the home, private to the user."""
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise unusable(path, error) from error
        return path


def write_private(path: Path, data: bytes) -> None:
    """Write a file that nobody else may read, all of it or nothing, and wait until the disk has it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> StateConflict:
    """What to say when the home cannot be read or written."""
    return StateConflict(
        f"{path} cannot be used: {error.strerror or error}.",
        "Free space or permissions there, or set GPUCLOUD_HOME to another folder.",
    )
