"""Idleness ends a lease: on the host, by itself, and never while somebody uses it or nobody can tell."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.machines import until
from tests.providers.ssh.hosts import Account
from tests.providers.ssh.test_leases import open_folder, other  # noqa: F401  (a fixture)

IDLE_S = "2"
LEASE = "resting"  # root's own tests end everything that carries the name of their lease
PLAYED = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="other Unix accounts can only be played by root"
)


@contextmanager
def process(account: Account, *words: str, **environ: str) -> Iterator[None]:
    """Something of this account that lives for a while."""
    one = subprocess.Popen([*account.become, *words], env={"PATH": account.path, **environ}, cwd="/")
    try:
        yield
    finally:
        one.kill()
        one.wait()


@contextmanager
def held(account: Account) -> Iterator[None]:
    """A `hold` file that says: busy until tomorrow."""
    hold = account.home / "gpucloud" / LEASE / "hold"
    subprocess.run([*account.become, "touch", "-d", "tomorrow", str(hold)], check=True)
    yield
    hold.unlink()


@contextmanager
def driver(account: Account, says: str) -> Iterator[None]:
    """An nvidia-smi with these last lines, for the watcher of the next lease."""
    program = Path(account.path.partition(":")[0]) / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    yield
    program.write_text('#!/bin/sh\ncase "$*" in *utilization*) echo 4;; esac\n')


USES: dict[str, Callable[[Account], object]] = {
    "nobody": lambda account: ExitStack(),
    "a command of the lease": lambda account: process(account, "sleep", "60", GPUCLOUD_LEASE=f":{LEASE}:"),
    "an SSH session": lambda account: process(
        account, "bash", "-c", f'exec -a "sshd: {account.become[1][8:]}@pts/1" sleep 60'
    ),
    "a forward": lambda account: process(
        account, "bash", "-c", f'exec -a "sshd-session: {account.become[1][8:]}" sleep 60'
    ),
    "hold": held,
    "work on its GPU": lambda account: driver(account, 'case "$*" in *utilization*) echo 50;; esac'),
    "a process on its GPU": lambda account: driver(account, 'case "$*" in *compute-apps*) echo 7;; *) echo 0;; esac'),
    "a broken driver": lambda account: driver(account, "exit 9"),
}


@PLAYED
def test_a_lease_ends_when_it_was_idle_and_not_before(open_folder: Path):  # noqa: F811
    shelf = open_folder / "leases"
    shelf.mkdir()
    shelf.chmod(0o1777)
    accounts = {use: other(61100 + number, open_folder, shelf) for number, use in enumerate(USES)}
    busy = ExitStack()
    with busy:
        for number, (use, account) in enumerate(accounts.items()):
            programs = open_folder / f"bin-{number}"
            programs.mkdir()
            account.path = f"{programs}:{account.path}"
            if use == "hold":  # its file lies in the lease's folder
                account.take(LEASE, 1, (number,), left="", idle=IDLE_S)
            busy.enter_context(USES[use](account))  # type: ignore[arg-type]
            if use != "hold":
                account.take(LEASE, 1, (number,), left="", idle=IDLE_S)
        until(lambda: ended(accounts["nobody"]) == "idle")
        probe = other(61200, open_folder, shelf)
        probe.take("later", 1, (len(USES),), left="", idle=IDLE_S)
        until(lambda: ended(probe, "later") == "idle")  # so long again, and by the same clock
        assert {use: ended(account) for use, account in accounts.items() if use != "nobody"} == dict.fromkeys(
            set(USES) - {"nobody"}, "-"
        )
    until(lambda: all(ended(account) == "idle" for account in accounts.values()))
    leases = probe.look().leases
    assert {lease.state for lease in leases.values()} == {"free"} and len(leases) == len(USES) + 1
    for account in accounts.values():
        assert account.ask("extend", LEASE, left="100")[0].startswith("fail gone")
        account.free(LEASE)


def ended(account: Account, deployment: str = LEASE) -> str:
    """Why that lease has ended; `-` while it lasts."""
    path = account.home / "gpucloud" / deployment / "ended"
    return path.read_text().strip() if path.exists() else "-"


@PLAYED
def test_an_extension_begins_the_idle_time_anew_and_the_deadline_still_holds(open_folder: Path):  # noqa: F811
    account = other(61300, open_folder, open_folder / "leases")
    (open_folder / "leases").mkdir()
    (open_folder / "leases").chmod(0o1777)
    account.take(LEASE, 1, (0,), left="", idle="3600")
    assert account.ask("extend", LEASE, left="1")[-1].startswith("took")
    until(lambda: ended(account) == "deadline")
    account.free(LEASE)
    account.take("another", 1, (0,), left="100", idle=IDLE_S)
    account.ask("extend", "another", left="")
    until(lambda: ended(account, "another") == "idle")
    account.free("another")
