"""A local machine's folder: what is in it, and how it proves whether its server lives.

<home>/local/local-<12 hex>/       one machine; it exists only together with a whole machine.json
    machine.json                   the record: tags, guards, our public key (rewritten by `extend`)
    server.lock                    flock held by the server for life; its text is the server's PID
    server.json                    where it listens since its last boot
    ended.json                     why and when a guard or `stop` ended it (absent while it may run)
    host_key                       made at the first boot
    proof-token                    only until the proof is written
    groups/                        process groups that were started, for systems without /proc
    home/  tmp/  server.log        the machine's own home, TMPDIR and log
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

MACHINE_ID = re.compile(r"local-[0-9a-f]{12}")
RECORD, LOCK, SERVER, ENDED = "machine.json", "server.lock", "server.json", "ended.json"
GRACE_S, NOTICE_S = 10.0, 600.0
TOKEN, HOST_KEY, LOG, GROUPS = "proof-token", "host_key", "server.log", "groups"


@dataclass(frozen=True)
class Record:
    """machine.json: everything the machine must know, and what `find` answers with. Times are epoch seconds.

    `deadline_epoch_s` and `idle_s` are None when that guard is off; `at_end` is `stop` or `delete`;
    `grace_s` is what a run gets between interrupt, terminate and kill, `notice_s` how long before its deadline
    a machine says so.
    """

    id: str
    deployment_id: str
    name: str
    rank: int
    attempt: int
    tags: Mapping[str, str]
    public_key: str
    user: str
    created_epoch_s: float
    deadline_epoch_s: float | None = None
    idle_s: float | None = None
    at_end: str = "stop"
    grace_s: float = GRACE_S
    notice_s: float = NOTICE_S
    instance_type: str = "local"
    market: str = "on-demand"
    version: int = 1

    @property
    def base_dir(self) -> str:
        """Our folder below the machine's home."""
        return f"gpucloud/{self.deployment_id}"


def machine_id(token: str, rank: int) -> str:
    """A machine's name is a pure function of the launch token and its rank, so a repeated launch finds it."""
    return "local-" + hashlib.sha256(f"{token}\n{rank}".encode()).hexdigest()[:12]


class Folder:
    """One machine's folder on disk. Reading what is absent or half-made gives None."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / "home"
        self.temporary = path / "tmp"

    @property
    def id(self) -> str:
        """The machine's id is the folder's name."""
        return self.path.name

    def record(self) -> Record | None:
        """The record, or None when there is none that can be read."""
        body = read_json(self.path / RECORD)
        if body is None:
            return None
        known = {item.name for item in fields(Record)}
        try:
            return Record(**{key: value for key, value in body.items() if key in known})
        except TypeError:
            return None

    def write_record(self, record: Record) -> None:
        """Replace the record in one step."""
        write_json(self.path / RECORD, asdict(record))

    def listening(self) -> dict[str, Any] | None:
        """`port`, `host_key`, `pid`, `boot_epoch_s` of the server that lives and listens now, or None."""
        server = read_json(self.path / SERVER)
        return server if server is not None and server.get("pid") == self.holder() else None

    def booted(self) -> bool:
        """Whether its server has ever come to listen since it was last switched on."""
        return (self.path / SERVER).exists()

    def ended(self) -> dict[str, Any] | None:
        """`reason` (deadline, idle, stop), `action`, `ended_epoch_s`, or None."""
        return read_json(self.path / ENDED)

    def lives(self) -> bool:
        """Whether a server holds the lock: the only proof of life, for PIDs are used again."""
        return self.holder() is not None

    def holder(self) -> int | None:
        """The PID of the server that holds the lock (0 in the instant before it is written), or None."""
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(descriptor, 32).decode("ascii", "replace").strip()
            return int(text) if text.isdigit() else 0
        else:
            return None
        finally:
            os.close(descriptor)

    def lock(self, wait_s: float = 2.0) -> int | None:
        """Take the server's lock and write our PID into it. None when another server holds it.

        The wait outlasts `holder()`, which takes the lock for an instant to look.
        """
        descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        patience_ends = time.monotonic() + wait_s
        while True:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if time.monotonic() > patience_ends:
                os.close(descriptor)
                return None
            time.sleep(0.01)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor


def make_folder(shelf: Path, record: Record, proof_token: str) -> Folder:
    """Create a machine's folder whole or not at all; one that exists already is left as it is."""
    with _staging_lock(shelf):
        staged = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf))
        Folder(staged).write_record(record)
        if proof_token:
            write_private(staged / TOKEN, proof_token.encode())
        try:
            staged.rename(shelf / record.id)
        except OSError:
            remove_tree(staged)
            if not (shelf / record.id).is_dir():
                raise
    return Folder(shelf / record.id)


def machines(shelf: Path) -> Iterator[Folder]:
    """Every machine of this home; sweeps what a killed launch or destroy left half-way."""
    if not shelf.is_dir():
        return
    for path in sorted(shelf.iterdir()):
        if MACHINE_ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink():
            yield Folder(path)
        elif path.name.startswith(".gone-"):
            remove_tree(path)
        elif path.name.startswith(".new-"):
            _sweep_staged(shelf, path)


def remove_folder(folder: Folder) -> None:
    """Delete a machine's folder so that a crash half-way leaves it findable, or out of the way."""
    if folder.path.is_dir():
        for path in folder.path.iterdir():
            if path.name != RECORD:
                remove_tree(path)
        grave = Path(tempfile.mkdtemp(prefix=".gone-", dir=folder.path.parent))
        with contextlib.suppress(FileNotFoundError):
            folder.path.rename(grave)
        remove_tree(grave)


def remove_tree(path: Path) -> None:
    """Delete a file or tree, folders without write permission included. Already gone is success."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        shutil.rmtree(path, ignore_errors=True)
    except PermissionError:
        for folder, _, _ in os.walk(path):
            _open_up(folder)
        shutil.rmtree(path)


def _open_up(folder: str) -> None:
    os.chmod(folder, 0o700)  # noqa: PTH101
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            os.chmod(entry.path, 0o700)  # noqa: PTH101


def _sweep_staged(shelf: Path, path: Path) -> None:
    """A staged folder lives only while its maker holds the staging lock."""
    with contextlib.suppress(BlockingIOError), _staging_lock(shelf, wait=False):
        remove_tree(path)


@contextlib.contextmanager
def _staging_lock(shelf: Path, *, wait: bool = True) -> Iterator[None]:
    shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(shelf / ".staging.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file, or None when there is none."""
    try:
        body = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Replace a JSON file in one step, mode 0600."""
    write_private(path, json.dumps(body, indent=1, sort_keys=True).encode())


def write_private(path: Path, data: bytes) -> None:
    """Replace a file in one step; it is 0600 from its first instant."""
    descriptor, staged = tempfile.mkstemp(prefix=".", dir=path.parent)  # mkstemp makes it 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
