"""The boot script at work: a real sshd, real runs, a clock that is moved, a power button that is only a file."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import replace

import pytest

from gpucloud.remote import runs
from gpucloud.remote.guards import set_deadline, set_peers
from tests.clouds.boots import DEPLOYMENT, booted, render
from tests.clouds.http import Answer, SimServer
from tests.clouds.machine import QUIET, needs_sshd
from tests.machines import output, until

pytestmark = needs_sshd
HOUR = 3600.0
BUSYBOX = pytest.param("busybox sh", marks=pytest.mark.skipif(not shutil.which("busybox"), reason="no busybox"))


def epoch_in(path):
    return int(path.read_text())


def looked(machine, looks=4):
    """Until the watchers have had so many looks."""
    time.sleep(0.12 * looks)
    return machine


def stays_on(machine):
    return looked(machine).state == "running"


def begin(b, command, number=1):
    """Start a run over SSH; its folder."""
    spec = runs.RunSpec(f"gpucloud/{DEPLOYMENT}/runs/{number}", f"gpucloud/{DEPLOYMENT}/work", command)
    runs.start(b.connect(), spec)
    return b.base / "runs" / str(number)


@pytest.mark.parametrize("systemd", [True, False])
@pytest.mark.parametrize("shell", ["/bin/sh", "bash", BUSYBOX])
def test_it_proves_itself_lets_us_in_and_ends_in_time(tmp_path, systemd, shell):
    with booted(tmp_path, after_s=2 * HOUR, systemd=systemd, shell=shell) as b:
        m = b.machine
        shown = (m.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
        assert b.prove() == " ".join(shown.split()[:2])
        assert output(b.connect(), "echo $HOME") == f"{m.home}\n"
        assert m.watchers() == ["deadline", "prove"]
        assert (m.home / ".ssh").stat().st_mode & 0o777 == 0o700
        m.move_clock(2 * HOUR - 700)
        assert stays_on(m) and not (b.base / "ending-soon").exists()
        m.move_clock(200)
        until((b.base / "ending-soon").exists)
        assert epoch_in(b.base / "ending-soon") == epoch_in(b.base / "deadline") == round(b.facts.deadline_epoch_s)
        assert stays_on(m)
        m.move_clock(500)
        until(lambda: m.state == "off")
        assert m.power_calls == ["poweroff"]
        assert "ending: deadline" in m.log


def test_neither_guard_when_both_are_off(tmp_path):
    with booted(tmp_path) as b:
        b.prove()
        b.machine.move_clock(1000 * HOUR)
        assert stays_on(b.machine)
        assert b.machine.watchers() == ["deadline", "prove"]  # one could still be set


def test_run_twice_it_changes_nothing(tmp_path):
    with booted(tmp_path, after_s=HOUR, idle_s=HOUR, boothook=True) as b:
        key = b.prove()
        allowed = b.machine.home / ".ssh" / "authorized_keys"
        allowed.write_text("ssh-ed25519 AAAAother other\n" + allowed.read_text().rstrip("\n"))
        before = allowed.read_text()
        for _ in range(2):
            b.machine.run_boot_data()
        assert looked(b.machine).watchers() == ["deadline", "idle", "prove"]
        assert b.prove() == key
        assert allowed.read_text() == before
        first = (b.machine.root / "run/gpucloud/deadline.pid").read_text()
        assert len(b.machine.processes("deadline")) == 1, first


def test_without_systemd_a_second_run_replaces_the_watchers(tmp_path):
    with booted(tmp_path, after_s=HOUR, idle_s=HOUR, systemd=False) as b:
        b.prove()
        b.machine.run_boot_data()
        until(lambda: [len(b.machine.processes(name)) for name in ("deadline", "idle", "prove")] == [1, 1, 1])


def test_the_token_stays_in_one_file_of_root_and_goes(tmp_path):
    with booted(tmp_path, after_s=HOUR) as b:
        b.prove()
        lib = b.machine.root / "var/lib/gpucloud"
        token = b.facts.proof_token
        assert (lib / "token").stat().st_mode & 0o777 == 0o600 and lib.stat().st_mode & 0o777 == 0o700
        until(lambda: not (lib / "token.once").exists())  # the copy from which is signed goes with the signing
        assert [path.name for path in lib.iterdir() if token in path.read_text()] == ["token"]
        b.machine.power_off()
        (lib / "token").unlink()  # as after ten minutes
        b.machine.power_on()
        assert "prove" not in looked(b.machine).watchers()
        assert b.prove()  # what was signed stays


@pytest.mark.parametrize("pulled", [True, False])
def test_the_end_comes_to_runs_first_and_results_that_nobody_has_are_kept(tmp_path, pulled):
    told = tmp_path / "told"
    ending = f"echo $reason $at_end >{told}\nsleep 0"
    with booted(tmp_path, after_s=HOUR, ending=ending, at_end="delete") as b:
        b.prove()
        folder = begin(b, "trap 'echo saved >result; exit 7' INT; while :; do sleep 0.1; done")
        until(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip())
        if pulled:
            (folder / "pulled").touch()
        time.sleep(0.3)
        b.machine.move_clock(HOUR + 1)
        until(lambda: b.machine.state == "off")
        assert (folder / "exit").read_text().strip() == "7"
        assert (b.base / "work" / "result").read_text() == "saved\n"
        assert told.read_text() == ("deadline delete\n" if pulled else "deadline stop\n")


def test_a_run_that_does_not_listen_is_killed(tmp_path):
    with booted(tmp_path, after_s=HOUR) as b:
        b.prove()
        folder = begin(b, "trap '' INT TERM; echo $$ >me; while :; do sleep 0.1; done")
        until(lambda: (b.base / "work" / "me").exists())
        b.machine.move_clock(HOUR + 1)
        until(lambda: b.machine.state == "off", 15)
        assert (folder / "exit").read_text().strip() == "137"


@pytest.mark.parametrize("ignored", [1, 2])
def test_a_power_button_that_does_nothing_is_pressed_harder(tmp_path, ignored):
    with booted(tmp_path, after_s=HOUR) as b:
        b.prove()
        b.machine.power_calls_ignored = ignored
        b.machine.move_clock(HOUR + 1)
        until(lambda: b.machine.state == "off", 25)
        assert b.machine.power_calls == ["poweroff", "poweroff -f"][: ignored + 1]
        sysrq = (b.machine.root / "proc/sysrq-trigger").read_text()
        assert sysrq == ("o\n" if ignored == 2 else "")


def test_the_client_moves_the_deadline(tmp_path):
    with booted(tmp_path, after_s=HOUR) as b:
        b.prove()
        b.machine.move_clock(HOUR - 300)
        until((b.base / "ending-soon").exists)
        assert set_deadline(b.connect(), DEPLOYMENT, b.facts.deadline_epoch_s + HOUR)
        until(lambda: not (b.base / "ending-soon").exists())
        b.machine.move_clock(600)
        assert stays_on(b.machine)
        b.machine.power_off()
        b.machine.power_on()  # the boot data says the old one again
        assert stays_on(b.machine)
        for damage in ("", "soon\n"):
            (b.base / "deadline").write_text(damage)
            assert stays_on(b.machine)
        (b.base / "deadline").unlink()
        b.machine.move_clock(HOUR)
        until(lambda: b.machine.state == "off")


def test_the_client_takes_the_deadline_away_and_learns_of_a_dead_guard(tmp_path):
    with booted(tmp_path, after_s=HOUR, every_boot=False, systemd=False) as b:
        b.prove()
        assert set_deadline(b.connect(), DEPLOYMENT, None)
        looked(b.machine)
        b.machine.move_clock(100 * HOUR)
        assert stays_on(b.machine)
        b.machine.power_off()
        b.machine.power_on()
        assert b.prove()
        assert set_deadline(b.connect(), DEPLOYMENT, None) is False


@pytest.mark.parametrize("every_boot", [True, False])
def test_a_machine_that_boots_too_late_waits_for_its_client(tmp_path, every_boot):
    with booted(tmp_path, after_s=HOUR, every_boot=every_boot) as b:
        m = b.machine
        b.prove()
        m.power_off()
        m.move_clock(10 * HOUR)
        m.power_on()
        assert looked(m).watchers()[0] == "deadline"
        m.move_clock(800)
        until((b.base / "ending-soon").exists)
        assert stays_on(m)
        m.move_clock(110)
        until(lambda: m.state == "off")
        assert "ending: late" in m.log
        m.power_on()
        b.prove()
        assert set_deadline(b.connect(), DEPLOYMENT, m.now + HOUR)
        looked(m)
        m.move_clock(HOUR - 60)
        assert stays_on(m)
        m.move_clock(100)
        until(lambda: m.state == "off")
        assert m.log.rstrip().endswith("ending: deadline, stop")


def test_off_and_on_again_before_the_deadline_it_still_holds(tmp_path):
    with booted(tmp_path, after_s=HOUR, every_boot=False) as b:
        b.prove()
        b.machine.power_off()
        b.machine.move_clock(HOUR - 60)
        b.machine.power_on()
        assert stays_on(b.machine)
        b.machine.move_clock(90)
        until(lambda: b.machine.state == "off")
        assert "ending: deadline" in b.machine.log


def test_a_new_deadline_in_the_boot_data_wins_once(tmp_path):
    with booted(tmp_path, after_s=HOUR) as b:
        b.prove()
        b.machine.power_off()
        b.machine.boot_data = render(replace(b.facts, deadline_epoch_s=b.facts.deadline_epoch_s + 5 * HOUR))
        b.machine.move_clock(2 * HOUR)
        b.machine.power_on()
        assert stays_on(b.machine)
        assert epoch_in(b.base / "deadline") == round(b.facts.deadline_epoch_s + 5 * HOUR)
        b.machine.move_clock(5 * HOUR)
        until(lambda: b.machine.state == "off")


def test_a_machine_made_from_an_image_of_another_begins_anew(tmp_path):
    with booted(tmp_path, after_s=HOUR) as b:
        old = b.prove()
        b.machine.power_off()
        (b.machine.root / "var/lib/gpucloud/token").unlink()
        (b.machine.root / "var/lib/cloud/data/instance-id").write_text("i-0def\n")
        b.machine.new_host_key()
        b.machine.move_clock(50 * HOUR)
        b.facts = replace(b.facts, proof_token="ab" * 32, deadline_epoch_s=b.machine.now + HOUR)
        b.machine.boot_data = render(b.facts)
        b.machine.power_on()
        b.instance_id = "i-0def"
        assert b.prove() != old
        assert epoch_in(b.base / "deadline") == round(b.facts.deadline_epoch_s)
        assert stays_on(b.machine)


# ---- first boot on images of several kinds


def test_while_cloud_init_makes_keys_nothing_is_signed(tmp_path):
    with booted(tmp_path, after_s=HOUR, cloud_init=True, boothook=True) as b:
        m = b.machine
        looked(m, 5)
        assert not (b.base / "gpucloud-proof").exists()
        m.new_host_key()
        (m.root / "var/lib/cloud/instance/sem").mkdir(parents=True)
        (m.root / "var/lib/cloud/instance/sem/config_ssh").touch()
        until((b.base / "gpucloud-proof").exists)
        m.power_off()  # sshd starts after cloud-init's keys; ours was earlier
        m.power_on()
        assert b.prove() == " ".join((m.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])


def test_a_host_key_that_is_made_once_more_is_signed_once_more(tmp_path):
    with booted(tmp_path, after_s=HOUR) as b:
        first = b.prove()
        proof = (b.base / "gpucloud-proof").read_text()
        second = b.machine.new_host_key()
        until(lambda: (b.base / "gpucloud-proof").read_text() != proof)
        b.machine.power_off()
        b.machine.power_on()
        assert b.prove() == second != first


def test_a_missing_user_is_made_and_may_become_root(tmp_path):
    with booted(tmp_path, after_s=HOUR, user_exists=False) as b:
        assert b.prove()
        assert "made the user" in b.machine.log
        rule = b.machine.root / "etc/sudoers.d/90-gpucloud"
        if b.facts.user != "root":
            assert "NOPASSWD:ALL" in rule.read_text()
        else:
            assert not rule.exists()


class Imds(SimServer):
    """The metadata service of an EC2 machine, version 2."""

    def respond(self, request):
        if request.method == "PUT" and request.path == "/latest/api/token":
            return Answer(200, b"pass")
        if request.headers.get("x-aws-ec2-metadata-token") != "pass":
            return Answer(401)
        return Answer(200, b"i-0abc")


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_the_machine_asks_its_cloud_who_it_is(tmp_path):
    with Imds() as imds, booted(tmp_path, environ={"AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.url}, known=False) as b:
        assert b.prove()
        assert imds.calls[:2] == ["PUT /latest/api/token", "GET /latest/meta-data/instance-id"]


def test_a_name_in_the_boot_data_is_the_instance(tmp_path):
    with booted(tmp_path, instance_id="demo-abcdefgh-1-0", known=False) as b:
        b.instance_id = "demo-abcdefgh-1-0"
        assert b.prove()


# ---- idleness


def disk(sectors):
    return QUIET["diskstats"].replace(" sda 10 0 800", f" sda 10 0 {800 + sectors}")


def network(octets):
    return QUIET["net/dev"].replace("eth0: 1000 ", f"eth0: {1000 + octets} ")


def test_idle_for_the_whole_window_it_ends(tmp_path):
    with booted(tmp_path, idle_s=1800) as b:
        b.prove()
        looked(b.machine)
        b.machine.move_clock(1700)
        assert stays_on(b.machine)
        b.machine.move_clock(110)
        until(lambda: b.machine.state == "off")
        assert "ending: idle" in b.machine.log


def test_whatever_is_going_on_keeps_it_awake(tmp_path):
    """One thing after another, each for as long as two windows."""
    with booted(tmp_path, idle_s=1800, gpus=["GPU 0: T4", "GPU 1: T4"]) as b:
        m = b.machine
        b.prove()
        looked(m)

        def awake(until_then=lambda: None):
            """Nothing but what was set up keeps it awake over two windows; then it is rested."""
            for _ in range(2):
                m.move_clock(1700)
                assert stays_on(m)
            until_then()
            looked(m)  # a last busy look, so that the next window begins here

        m.measure("loadavg", "0.93 0.1 0.1 1/100 1\n")
        awake(lambda: m.measure("loadavg", QUIET["loadavg"]))
        for text in ("0\n5\n", "[N/A]\n0\n", ""):  # one GPU at work, one that does not tell, none that answers
            (m.folder / "gpu-use").write_text(text)
            awake(lambda: (m.folder / "gpu-use").write_text("4\n0\n"))
        (m.root / "proc/loadavg").unlink()
        awake(lambda: m.measure("loadavg", QUIET["loadavg"]))
        connection = b.connect()
        awake(connection.close)
        folder = begin(b, "sleep 100")
        for one in b.open:
            one.close()
        awake(lambda: (folder / "exit").write_text("0"))
        hold = b.base / "hold"
        hold.touch()
        os.utime(hold, (m.now + 2 * 1700, m.now + 2 * 1700))
        awake()
        m.move_clock(1900)
        until(lambda: m.state == "off")


def test_disk_and_network_at_work_keep_it_awake(tmp_path):
    with booted(tmp_path, idle_s=1800) as b:
        m = b.machine
        b.prove()
        looked(m)
        for number in range(1, 4):
            m.measure("diskstats", disk(number * 1000 * 2048 * 2))
            m.move_clock(1000)
            assert stays_on(m)
        for number in range(1, 4):
            m.measure("net/dev", network(number * 1000 * 40_000))
            m.move_clock(1000)
            assert stays_on(m)
        m.measure("net/dev", network(3 * 1000 * 40_000 + 1800 * 2_000))  # an agent's chatter
        m.move_clock(1801)
        until(lambda: m.state == "off")


def shown_idle_s(b):
    """For how long the node tells the others that it has been idle."""
    last, seen = (b.machine.root / "run/gpucloud/shown/last").read_text().split()
    return int(seen) - int(last)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_nodes_end_together_or_not_at_all(tmp_path):
    """One at work keeps the others; before they know each other, none ends; the first that ends says so."""
    with (
        # the first to end says so for three times the pace: long enough to be heard on a busy computer
        booted(tmp_path / "0", idle_s=1800, nodes=2, pace_s=0.3) as first,
        booted(tmp_path / "1", idle_s=1800, nodes=2, pace_s=0.3, systemd=False) as second,
    ):
        both = (first, second)
        for b in both:
            b.prove()

        def pass_time(seconds):
            for b in both:
                b.machine.move_clock(seconds)
            time.sleep(4 * 0.3)  # four looks
            return [b.machine.state == "running" for b in both]

        assert pass_time(2000) == [True, True]  # strangers
        first.machine.measure("loadavg", "0.93 0.1 0.1 1/100 1\n")
        until(lambda: shown_idle_s(first) < 60)  # it has looked at itself again, so that the other one can know
        for b, other in (both, both[::-1]):
            connection = b.connect()
            assert set_peers(connection, DEPLOYMENT, [other.endpoint.host])
            connection.close()
        assert second.machine.watchers() == ["deadline", "idle", "prove", "serve"]
        assert pass_time(2000) == [True, True]
        assert pass_time(2000) == [True, True]
        first.machine.measure("loadavg", QUIET["loadavg"])
        time.sleep(1)
        first.machine.signal("idle", signal.SIGSTOP)
        for strange in ("", "soon\n", "1 x\n", "x 1\n"):  # what a node that is not well may show
            (first.machine.root / "run/gpucloud/shown/last").write_text(strange)
            assert pass_time(2000)[1] and "idle" in second.machine.watchers()
        first.machine.signal("idle", signal.SIGCONT)
        for b in both:
            b.machine.move_clock(1900)
        until(lambda: [b.machine.state for b in both] == ["off", "off"])
