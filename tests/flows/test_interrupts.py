"""Ctrl-C, SIGTERM and SIGHUP while `up` runs, in a process of its own; and `down` while `up` runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import os, signal, sys
from pathlib import Path
from gpucloud.core.errors import GpucloudError
from gpucloud.core.plan import UpRequest
from gpucloud.flows import down, up
from gpucloud.flows.context import Clouds, Context, Waits
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.store import FileStore
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal

class Quiet:
    def remember(self, *words): ...
    def forget(self, *words): ...

root, number, presses, answer = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "yes"

class Pressed(FakeProvider):
    def launch(self, spec):
        made = super().launch(spec)
        for _ in range(presses):
            os.kill(os.getpid(), number)
        return made

home = Home(root)
provider = Pressed(FileStore(root / "fake" / "cloud.json"))
waits = Waits(settle_gap=0.01, settle_quiet=0.05)
ctx = Context(home, Journal.open(home), Clouds(Site(root, home.home_id(), {}), {"fake": provider}), Quiet(),
              lambda: "ssh-ed25519 AAAA", lambda sentence: print("said", sentence), waits, ask_remove=lambda q: answer)
try:
    up.up(ctx, up.plan(ctx, UpRequest("train", tuple(provider.offers()[:2]), {})))
except GpucloudError as error:
    print("error", error.exit_code, error.message)
print("things", len(provider.find(None).resources))
print("state", ctx.journal.present().named("train").state)
"""


def press(tmp_path: Path, number: int, presses: int, answer: str) -> dict[str, str]:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path / "home"), str(int(number)), str(presses), answer]
    answer_ = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert answer_.returncode == 0, answer_.stderr
    return dict(line.split(maxsplit=1) for line in answer_.stdout.splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name)
def test_one_press_finishes_the_call_and_removes_what_exists(tmp_path, number):
    heard = press(tmp_path, number, 1, "yes")
    assert heard["error"].startswith("130 Stopped; 'train' is removed")
    assert "Finishing the call" in heard["said"]
    assert (heard["things"], heard["state"]) == ("0", "down")


def test_one_press_and_no_keeps_it_and_names_it(tmp_path):
    heard = press(tmp_path, signal.SIGINT, 1, "no")
    assert heard["error"].startswith("130")
    assert "i-000001" in heard["error"]
    assert heard["things"] == "2"


def test_two_presses_end_at_once_and_name_what_may_exist(tmp_path):
    heard = press(tmp_path, signal.SIGINT, 2, "yes")
    assert heard["error"].startswith("130")
    assert "train-" in heard["error"], "the answer was not written yet: the token is named"
    assert heard["things"] == "2"


def test_down_wins_over_an_up_that_is_launching(stage):
    """`down` is called while the create request is under way; `up` gives up, and nothing is left."""
    launch = stage.provider.launch
    stage.waits = type(stage.waits)(lock=0.0)
    stage.context()
    seen = []

    def while_launching(spec):
        seen.append(stage.down("train").error)
        return launch(spec)

    stage.provider.launch = while_launching
    with pytest.raises(Exception) as caught:
        stage.up()
    assert caught.value.code == "state_conflict" or caught.value.exit_code == 9
    assert seen[0].exit_code == 9, "a request that was not answered yet is never called gone"
    stage.provider.launch = launch
    assert stage.down("train").error is None
    assert stage.things == {}


def test_down_between_two_effects_stops_up_before_the_next(stage):
    stage.script({"verb": "launch", "fault": "capacity", "times": 0})
    launch = stage.provider.launch

    def refuse_then_cancel(spec):
        from gpucloud.core.events import Draft

        stage.journal.append(Draft("deployment_cancelled", spec.deployment_id))
        return launch(spec)

    stage.provider.launch = refuse_then_cancel
    with pytest.raises(Exception) as caught:
        stage.up()
    assert caught.value.exit_code == 8
    assert stage.calls("launch") == 1


TOGETHER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.flows.killpoints import NAME, do_up, open_context
from gpucloud.core.errors import GpucloudError
from gpucloud.flows import down
from gpucloud.flows.ls import ls

root, what = Path(sys.argv[1]), sys.argv[2]
ctx = open_context("fake", root)
ends = time.monotonic() + 4
try:
    if what == "up":
        do_up(ctx)
    elif what == "ls":
        while time.monotonic() < ends:
            rows = ls(ctx, refresh=True, everything=True).rows
            if rows and all(row.deployment.phase == "down" for row in rows):
                break
    else:
        while ctx.journal.present().named(NAME) is None:
            time.sleep(0.001)
        time.sleep(float(what))
        error = down.down(ctx, down.plan(ctx, (NAME,))).error
        print(error)
except GpucloudError as error:
    print(error.code)
"""


@pytest.mark.parametrize("after_s", ["0", "0.05"])
def test_up_down_and_ls_at_once_leave_nothing(tmp_path, after_s):
    """Three processes on one home: whatever the order, the end is empty and nobody crashes."""
    from tests.flows.killpoints import clean_up

    root, here = tmp_path / "home", str(Path(__file__).parents[2])
    words = [[sys.executable, "-c", TOGETHER, str(root), what, here] for what in ("ls", after_s, "up")]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in words]
    ended = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], [error for _, error in ended]
    assert ended[1][0].strip() == "None", "down ends with nothing left to say"
    assert ended[2][0].strip() in ("", "state_conflict"), "up is ready before, or told that it was taken down"
    assert clean_up("fake", root, keep_journal=True) == []


def test_a_second_press_during_the_removal_ends_at_once(tmp_path):
    program = PROGRAM.replace(
        "ask_remove=lambda q: answer",
        "ask_remove=lambda q: (os.kill(os.getpid(), number), print('asked on'), True)[2]",
    )
    words = [sys.executable, "-c", program, str(tmp_path / "home"), str(int(signal.SIGINT)), "1", "yes"]
    answer = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert "asked on" not in answer.stdout
    assert "error 130" in answer.stdout
    assert "i-000001" in answer.stdout
