"""Which processes belong to a local machine, and how to end every one of them.

On Linux they are known by `GPUCLOUD_MACHINE=<id>` in the environment they were started with, and by descent
from one of those. Elsewhere by the process groups that the machine recorded in its `groups` folder, with the
time when each began, so that a PID used again is never taken for ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from gpucloud.providers.local.folder import GROUPS, Folder

MARK = "GPUCLOUD_MACHINE"
PROC = Path("/proc")
BY_ENVIRONMENT = (PROC / "self" / "environ").exists()


def of_machine(folder: Folder) -> set[int]:
    """PIDs of everything the machine started, its server included; never our own process."""
    found = _marked(folder.id) if BY_ENVIRONMENT else _recorded(folder)
    return found - {os.getpid()}


def end_all(folder: Folder, grace_s: float = 1.0, spare: frozenset[int] = frozenset()) -> None:
    """Terminate, then kill, until two looks in a row find nothing. `spare` is left alone.

    Raises TimeoutError when processes outlive 10 s of SIGKILL (they hang in the kernel).
    """
    _send(folder, signal.SIGTERM, spare)
    term_ends = time.monotonic() + grace_s
    while of_machine(folder) - spare and time.monotonic() < term_ends:
        time.sleep(0.01)
    kill_ends = time.monotonic() + 10
    empty_looks = 0
    while empty_looks < 2:
        empty_looks = 0 if _send(folder, signal.SIGKILL, spare) else empty_looks + 1
        if time.monotonic() > kill_ends:
            raise TimeoutError(f"processes of {folder.id} do not end: {sorted(of_machine(folder) - spare)}")
        time.sleep(0.01)


def record_group(folder: Folder, group: int) -> None:
    """Remember a process group that the machine started (needed where there is no /proc)."""
    if BY_ENVIRONMENT:
        return
    groups = folder.path / GROUPS
    groups.mkdir(mode=0o700, exist_ok=True)
    (groups / str(group)).write_text(_began(group))


def _send(folder: Folder, number: int, spare: frozenset[int]) -> bool:
    """Signal each of the machine's processes; whether there was any.

    Each PID is pinned first and then looked at again, so that its next owner is never hit.
    """
    targets = of_machine(folder) - spare
    if not hasattr(os, "pidfd_open"):
        for pid in targets:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        return bool(targets)
    with contextlib.ExitStack() as pins:
        pinned = {pid: descriptor for pid in targets if (descriptor := _pin(pid, pins)) is not None}
        for pid in of_machine(folder) & pinned.keys():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(pinned[pid], number)
    return bool(targets)


def _pin(pid: int, pins: contextlib.ExitStack) -> int | None:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return None
    pins.callback(os.close, descriptor)
    return descriptor


def _marked(machine_id: str) -> set[int]:
    mark = f"{MARK}={machine_id}".encode()
    parents = dict(_parents())
    ours = {pid for pid in parents if mark in _environment(pid)}
    grown = True
    while grown:
        heirs = {pid for pid, parent in parents.items() if parent in ours and pid not in ours}
        ours |= heirs
        grown = bool(heirs)
    return ours


def _environment(pid: int) -> list[bytes]:
    try:
        return (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _parents() -> Iterator[tuple[int, int]]:
    """(pid, parent) of every process but the dead ones nobody has collected."""
    for entry in os.scandir(PROC):
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # the command name is in brackets and may hold anything, brackets included
                after_name = (PROC / entry.name / "stat").read_bytes().rpartition(b")")[2].split()
                if after_name[0] not in (b"Z", b"X"):
                    yield int(entry.name), int(after_name[1])


def _recorded(folder: Folder) -> set[int]:
    server = folder.holder()
    ours = {server} if server else set()
    groups = folder.path / GROUPS
    table = _table()
    for path in groups.iterdir() if groups.is_dir() else ():
        group = int(path.name) if path.name.isdigit() else 0
        if group in table and _began(group) != path.read_text():
            continue  # the leader's number belongs to somebody else now
        ours |= {pid for pid, of_group in table.items() if of_group == group}
    return ours


def _table() -> Mapping[int, int]:
    """pid → process group, by ps."""
    listing = _ps("-A", "-o", "pid=,pgid=,state=")
    rows = (line.split() for line in listing.splitlines())
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 3 and not row[2].startswith("Z")}


def _began(pid: int) -> str:
    return _ps("-o", "lstart=", "-p", str(pid)).strip()


def _ps(*words: str) -> str:
    answer = subprocess.run(
        ["/bin/ps", *words], capture_output=True, text=True, check=False, env={"LC_ALL": "C", "TZ": "UTC"}
    )
    return answer.stdout
