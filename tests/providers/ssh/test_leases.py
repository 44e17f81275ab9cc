"""Leases on one host: no GPU is ever held twice, whoever races, dies, comes late or means harm."""

from __future__ import annotations

import os
import random
import resource
import shutil
import stat
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpucloud.providers.ssh.script import COMMAND, script_text
from tests.providers.ssh.hosts import SHELL, TEMPLATES, Account

RACERS, TRIES, GPUS = 8, 125, (0, 1, 2, 3)
SHELLS = {
    "dash": ("dash", *SHELL[1:]),
    "bash": ("bash", *SHELL[1:]),
    "busybox": ("busybox", "sh", *SHELL[1:]),
}
LEASE_SCRIPTS = sorted((TEMPLATES / "remote").glob("lease*.sh"))
POWER = (
    "poweroff",
    "shutdown",
    "reboot",
    "halt",
    "init 0",
    "telinit",
    "systemctl",
    "sysrq",
    "wakealarm",
    "ipmi",
    "kexec",
)


@pytest.fixture
def account(tmp_path):
    (tmp_path / "home").mkdir()
    return Account(tmp_path / "home", tmp_path / "leases")


class Witness:
    """Knows by folders of its own, which only one can make, who holds what; independent of the leases."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.doubles = folder, []

    def enter(self, gpus: list[int], who: str) -> None:
        for gpu in gpus:
            try:
                (self.folder / str(gpu)).mkdir()
            except FileExistsError:
                self.doubles.append((gpu, who))

    def leave(self, gpus: list[int]) -> None:
        for gpu in gpus:
            (self.folder / str(gpu)).rmdir()


def give_back_at_once(account: Account, gpus: list[int], deployment: str) -> None:
    """What the script does, without its cost: the next generation of each chain says that it is free."""
    for gpu in gpus:
        newest = max(path.name for path in account.shelf.glob(f"gpu-{gpu}.*"))
        link = account.shelf / f"gpu-{gpu}.{int(newest.rpartition('.')[2]) + 1:010d}"
        link.symlink_to(f"free 0 {int(time.time())} x - - - -")
    shutil.rmtree(account.home / "gpucloud" / deployment)


def test_a_thousand_racing_tries_never_hold_a_gpu_twice(account, tmp_path, record_property):
    witness, got, refused = Witness(tmp_path / "witness"), [], []

    def race(racer: int) -> None:
        dice = random.Random(racer)
        for number in range(TRIES):
            deployment, want = f"r{racer}-{number}", dice.choice((1, 1, 2, 3))
            gpus = account.take(deployment, want, GPUS, left="", keep_s="5")
            if gpus is None:
                refused.append(deployment)
                continue
            witness.enter(gpus, deployment)
            assert len(set(gpus)) == want
            got.append(deployment)
            time.sleep(dice.random() * 0.02)
            witness.leave(gpus)
            if number % 5:
                give_back_at_once(account, gpus, deployment)
            else:
                account.ask("free", deployment, keep_s="5")

    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(race, range(RACERS)))
    assert witness.doubles == []
    assert len(got) + len(refused) == RACERS * TRIES and len(got) > 100 and refused
    assert all(not lease.live(account.look().now) for lease in account.look().leases.values())
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    record_property(
        "told",
        f"{RACERS * TRIES} racing tries for {len(GPUS)} GPUs: {len(got)} leases, {len(refused)} refusals, "
        f"{len(witness.doubles)} GPUs held twice ({time.monotonic() - started:.0f} s, {cpu_s:.0f} s of CPU)",
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_it_is_plain_sh(account, tmp_path, shell):
    if shutil.which(SHELLS[shell][0]) is None:
        pytest.skip(f"{shell} is not installed")
    account.shell = SHELLS[shell]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda number: account.take(f"d-{number}", 1, (0, 1)), range(4)))
    assert sorted(gpus for gpus in got if gpus) == [[0], [1]]
    held = got.index([0])
    assert account.ask("extend", f"d-{held}", left="7200")
    account.free(f"d-{held}")
    assert account.take("next", 1, (0, 1)) == [0]
    for number in {got.index([1])} | {"next"}:
        account.free(f"d-{number}" if number != "next" else "next")
    assert not list(account.home.iterdir())


def test_the_same_token_again_has_the_same_lease(account):
    assert account.take("a", 2) == [0, 1]
    before = sorted(account.shelf.iterdir())
    assert account.take("a", 2) == [0, 1] and sorted(account.shelf.iterdir()) == before
    assert account.take("b", 3) is None and not (account.home / "gpucloud" / "b").exists()
    assert sorted(account.shelf.iterdir()) == before, "a refusal leaves nothing"
    assert account.take("b", 2) == [2, 3]
    account.free("a")
    account.free("a")
    assert account.take("c", 2) == [0, 1]
    for one in "bc":
        account.free(one)


def test_an_expired_lease_is_passed_over_and_a_late_extension_is_refused(account):
    assert account.take("early", 1, (0,), left="600") == [0]
    account.clock_ahead(605)
    assert account.take("late", 1, (0,)) is None, "its runs are being ended just now"
    account.clock_ahead(700)
    assert account.take("late", 1, (0,)) == [0]
    assert account.ask("extend", "early", left="100")[0].startswith("fail gone")
    account.free("early")
    assert account.look().leases[0].deployment == "late", "the old holder cannot give back what is another's"
    account.free("late")


def test_extending_moves_the_end_for_everybody(account):
    account.take("a", 1, (0,), left="100")
    first = account.look().leases[0]
    account.ask("extend", "a", left="5000")
    second = account.look().leases[0]
    assert second.until - first.until >= 4899 and second.deployment == "a" and second.token == first.token
    account.ask("extend", "a", left="")
    assert account.look().leases[0].until == 0
    account.free("a")


def test_a_script_killed_at_any_moment_leaves_what_can_be_found_and_freed(account):
    text_of = dict.fromkeys(("shelf", "id", "dir", "token"), "")
    dice = random.Random(1)
    for number in range(12):
        name = f"k-{number}"
        text_of.update(shelf=str(account.shelf), id=name, dir=name, token=f"{name}-t", payload="-", grace="30")
        more = {"eligible": "0:- 1:- 2:-", "want": "3", "left": "", "smi": "no"}
        process = subprocess.Popen(SHELL, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=account.home, text=True)
        process.stdin.write(script_text(TEMPLATES, "take", {**text_of, **more}))
        process.stdin.close()
        time.sleep(dice.random() * 0.06)
        process.kill()
        process.wait()
        if number % 2:
            assert account.take(name, 3) == [0, 1, 2], "the same token completes it"
        account.free(name)
        assert account.take("whole", 4) == [0, 1, 2, 3]
        account.free("whole")


# ---- what others may have put there


def test_the_shelf_is_open_to_all_but_only_owners_may_delete(account):
    account.take("a", 1)
    assert stat.S_IMODE(account.shelf.stat().st_mode) == 0o1777
    assert stat.S_IMODE((account.home / "gpucloud" / "a").stat().st_mode) == 0o700
    account.free("a")


def test_a_shelf_that_is_a_trap_is_refused(account, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    account.shelf.symlink_to(elsewhere)
    assert "symbolic link" in account.ask("take", "a", eligible="0:-", want="1", left="", smi="no", token="t")[-1]
    assert not list(elsewhere.iterdir()) and not list(account.home.glob("gpucloud/*"))
    account.shelf.unlink()
    account.shelf.mkdir(mode=0o777)
    account.shelf.chmod(0o777)
    assert "sticky" in account.ask("take", "a", eligible="0:-", want="1", left="", smi="no", token="t")[-1]
    account.shelf.rmdir()
    account.shelf.write_text("")
    assert "not there" in account.ask("take", "a", eligible="0:-", want="1", left="", smi="no", token="t")[-1]


@pytest.mark.parametrize("trap", ["folder", "file", "link to a folder", "garbage", "code", "far generation"])
def test_what_is_no_lease_is_never_followed_and_keeps_its_gpu_busy(account, tmp_path, trap):
    victim = tmp_path / "victim"
    victim.mkdir()
    account.take("first", 1, (1,))
    place = account.shelf / "gpu-0.0000000001"
    if trap == "folder":
        place.mkdir()
    elif trap == "file":
        place.write_text("held")
    elif trap == "far generation":
        (account.shelf / "gpu-0.9999999999").symlink_to("free 0 1 x - - - -")
    else:
        place.symlink_to(
            {"link to a folder": str(victim), "garbage": "held x y", "code": "held $(touch v) `id` ; id"}[trap]
        )
    assert account.take("a", 1, (0, 2)) == [2], "another GPU is taken"
    assert account.take("b", 1, (0,)) is None
    assert not list(victim.iterdir()) and not list(account.home.glob("v"))
    if place.is_dir() and not place.is_symlink():
        assert not list(place.iterdir())
    for one in ("first", "a"):
        account.free(one)


def test_a_base_folder_that_is_a_link_is_refused(account, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "keep").write_text("")
    (account.home / "gpucloud").mkdir()
    (account.home / "gpucloud" / "a").symlink_to(victim)
    assert account.ask("take", "a", eligible="", want="0", left="", smi="no", token="t")[-1].startswith("fail home")
    assert account.ask("free", "a")[-1].startswith("fail home")
    assert (victim / "keep").exists()


# ---- several Unix accounts


@pytest.fixture
def open_folder():
    """A folder that every account may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="gpucloud-test-", dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def other(uid: int, folder: Path, shelf: Path) -> Account:
    """A login of another Unix user."""
    home = folder / f"home-{uid}"
    home.mkdir(mode=0o700)
    os.chown(home, uid, uid)
    become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
    return Account(home, shelf, become=become)


@pytest.mark.skipif(os.getuid() != 0, reason="other Unix accounts can only be played by root")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed (util-linux)")
def test_unix_accounts_share_one_shelf(open_folder, record_property):
    shelf = open_folder / "leases"
    shelf.mkdir()
    shelf.chmod(0o1777)
    alice, bob, carol = (other(uid, open_folder, shelf) for uid in (61001, 61002, 61003))
    assert alice.take("a", 1, (0, 1), left="600") == [0]
    assert bob.take("b", 2, (0, 1)) is None
    assert bob.take("b", 1, (0, 1)) == [1]
    seen = carol.look()
    assert {lease.uid for lease in seen.leases.values()} == {"61001", "61002"}
    link = next(shelf.glob("gpu-0.*"))
    assert subprocess.run([*bob.become, "rm", "-f", str(link)], capture_output=True).returncode != 0
    bob.clock_ahead(700)
    assert link.is_symlink(), "the expired lease of another is still there, and passed over"
    assert bob.take("late", 1, (0, 1)) == [0]
    bob.free("a")  # not his, and not there: nothing happens to anybody
    assert bob.look().leases[0].deployment == "late"
    accounts, barrier = (alice, bob, carol), threading.Barrier(6)
    witness = Witness(open_folder / "witness")

    def race(number: int) -> int:
        account, got = accounts[number % 3], 0
        barrier.wait()
        for turn in range(10):
            name = f"w{number}-{turn}"
            gpus = account.take(name, 1 + turn % 2, (2, 3), left="")
            if gpus:
                witness.enter(gpus, name)
                witness.leave(gpus)
                account.free(name)
                got += 1
        return got

    with ThreadPoolExecutor(6) as pool:
        got = sum(pool.map(race, range(6)))
    assert witness.doubles == [] and got
    for account, name in ((alice, "a"), (bob, "b"), (bob, "late")):
        account.free(name)
    record_property("told", f"60 racing tries of 3 Unix accounts in one sticky folder: {got} leases, no GPU held twice")


# ---- the host is not ours to switch


def test_no_script_of_this_cloud_has_a_power_command():
    assert len(LEASE_SCRIPTS) == 7
    shared = [TEMPLATES / "remote" / name for name in ("common.sh", "run.sh")]
    for path in [*LEASE_SCRIPTS, *shared]:
        text = path.read_text().casefold()
        assert [word for word in POWER if word in text] == [], path.name
    whole = "".join(script_text(TEMPLATES, verb, {"shelf": "/x"}) for verb in ("look", "take", "extend", "free"))
    assert [word for word in POWER if word in whole.casefold()] == []


def test_a_script_that_is_cut_on_its_way_does_nothing(account):
    given = {"shelf": str(account.shelf), "id": "a", "dir": "a", "token": "t", "payload": "-", "grace": "1"}
    text = script_text(TEMPLATES, "take", {**given, "eligible": "0:-", "want": "1", "left": "", "smi": "no"})
    assert COMMAND.endswith(f"'{SHELL[2]}'")
    for part in (0.1, 0.5, 0.9, 0.99, (len(text) - 3) / len(text)):
        cut = text[: int(len(text) * part)]
        subprocess.run(SHELL, input=cut, cwd=account.home, capture_output=True, text=True)
        assert not list(account.home.iterdir()) and not account.shelf.exists()
