"""Own machines through the command line, on real OpenSSH servers: the whole loop, and what can go wrong."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from gpucloud.remote import keys
from tests.providers.ssh.own import fake_driver, own_machines
from tests.sshd import needs_sshd

pytestmark = needs_sshd


def newest(shelf: Path) -> dict[str, str]:
    """GPU → state of its newest entry."""
    links = sorted(shelf.glob("gpu-*"))
    return {link.name.split(".")[0]: str(link.readlink()).split(" ")[0] for link in links}


def test_the_whole_loop(tmp_path):
    with own_machines(tmp_path, "box1") as own:
        server = own.servers["box1"]
        (server.home / "thesis.txt").write_text("mine")
        work = tmp_path / "work"
        work.mkdir()
        (work / "train.sh").write_text(
            'echo "gpus $CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER"; echo model >out.txt; exit 3\n'
        )
        made = own.up("a", "--gpu", "3090")["deployments"][0]
        assert (made["state"], made["cloud"], made["region"], made["zone"]) == ("ready", "ssh", "box1", "box1")
        assert (made["accelerator"], made["accelerator_count"], made["usd_per_hour"]) == ("RTX3090", 1, 0.0)
        guards = [("in_machine_deadline", "end_runs"), ("in_machine_idle", "end_runs")]
        assert [(guard["kind"], guard["action"]) for guard in made["guards"]] == guards
        assert own.up("a", "--gpu", "3090")["deployments"][0]["id"] == made["id"], "the same again is the same"

        ran = own.start("run", "--on", "a", "--pull", "out.txt", "--env", "CUDA_VISIBLE_DEVICES=0,1", "sh", "train.sh")
        out, err = ran.communicate(timeout=60)
        assert ran.returncode == 3 and out == "gpus 0 PCI_BUS_ID\n", (out, err)
        assert (work / "out.txt").read_text() == "model\n"
        assert own.start("logs", "a/1").communicate(timeout=60)[0] == out
        assert own.start("exec", "a", "--", "echo $CUDA_VISIBLE_DEVICES").communicate(timeout=60)[0] == "0\n"
        assert own.call("ps")["runs"][0]["exit_code"] == 3
        assert own.call("cost")["total_usd"] == 0

        second = own.up("b", "--gpu", "3090", "--region", "box1")["deployments"][0]
        shown = own.start("exec", "b", "--", "echo $CUDA_VISIBLE_DEVICES").communicate(timeout=60)[0]
        assert shown == "1\n", "two deployments never share a GPU"
        refused = own.up("c", "--gpu", "3090:1", code=5)["error"]
        assert refused["code"] == "capacity" and made["id"] in str(refused) and second["id"] in str(refused)
        assert re.search(r"until 20\d\d-", refused["message"])

        for words in (("stop", "a"), ("allow", "a", "192.0.2.0/24")):
            assert "cannot" in own.call(*words, "--yes", code=2)["error"]["message"], "and nothing is begun"
        extended = own.call("extend", "a", "30h", "--yes")["deployments"][0]
        assert extended["deadline_at"] > made["deadline_at"]
        state = own.call("check", "ssh")["clouds"][0]
        gpus = state["hosts"][0]["gpus"]
        assert state["usable"] and [(gpu["state"], gpu["deployment"]) for gpu in gpus] == [
            ("leased", made["id"]),
            ("leased", second["id"]),
        ]
        assert gpus[0]["until"] > gpus[1]["until"], "everybody sees the new end"
        assert own.call("gc")["orphans"] == []
        assert {item["state"] for item in own.call("ls", "--refresh")["deployments"]} == {"ready"}

        assert own.call("down", "a", "b", "--yes")["remaining"] == []
        assert [path.name for path in server.home.iterdir()] == ["thesis.txt"], "nothing but ours is removed"
        assert set(newest(tmp_path / "leases-box1").values()) == {"free"}
        assert own.call("down", "a", "--yes")["remaining"] == []


def test_only_leased_gpus_of_the_right_kind_and_none_that_somebody_uses(tmp_path):
    with own_machines(tmp_path, "box1", gpus="A100-SXM-80GB", count=2) as own:
        server = own.servers["box1"]
        cards = ["NVIDIA GeForce GTX 1080 Ti", "NVIDIA A100-SXM4-80GB", "NVIDIA A100-SXM4-80GB"]
        driver = fake_driver(server, cards, "GPU-00000001-aaaa, 1\n")
        profile = f'PATH="{driver.parent}:$PATH"; export PATH\n'
        (server.home / ".profile").write_text(profile)
        with_driver(server, driver)
        refused = own.up("a", "--gpu", "A100:2", code=5)["error"]
        assert "GPU 1 is busy with process 1" in refused["message"]
        own.up("a", "--gpu", "A100:1")
        assert own.start("exec", "a", "--", "echo $CUDA_VISIBLE_DEVICES").communicate(timeout=60)[0] == "2\n"
        states = [gpu["state"] for gpu in own.call("check", "ssh")["clouds"][0]["hosts"][0]["gpus"]]
        assert states == ["free", "busy", "leased"]
        driver.with_name("nvidia-smi.apps").write_text("")
        own.up("b", "--gpu", "a100-80gb:1")
        assert own.start("exec", "b", "--", "echo $CUDA_VISIBLE_DEVICES").communicate(timeout=60)[0] == "1\n"
        own.up("cpu", "--instance-type", "box1")
        assert own.start("exec", "cpu", "--", "echo [$CUDA_VISIBLE_DEVICES]").communicate(timeout=60)[0] == "[]\n"
        driver.with_name("nvidia-smi.cards").write_text("GPU 0: NVIDIA T4 (UUID: GPU-x)\n")
        assert "T4" in own.up("d", "--gpu", "A100:1", code=6)["error"]["message"]


def with_driver(server, driver: Path) -> None:
    """Let the server's sessions find it: sshd's own PATH, for the scripts run without a login shell."""
    server.reconfigure('SetEnv "HOME=', f'SetEnv "PATH={driver.parent}:{os.environ["PATH"]}" "HOME=')


def test_nodes_are_hosts_all_or_none(tmp_path):
    with own_machines(tmp_path, "box1", "box2", "box3", count=1) as own:
        own.up("one", "--gpu", "3090", "--zone", "box2")
        made = own.up("two", "--gpu", "3090:1", "--nodes", "2")["deployments"][0]
        assert made["region"] == "box1+box3" and [node["rank"] for node in made["nodes"]] == [0, 1]
        ran = own.start("run", "--on", "two", "--no-sync", "echo $NODE_RANK $CUDA_VISIBLE_DEVICES")
        assert sorted(ran.communicate(timeout=60)[0].splitlines()) == ["[0] 0 0", "[1] 1 0"]
        refused = own.up("three", "--gpu", "3090:1", "--nodes", "2", code=5)["error"]
        tried = {attempt["region"] for attempt in refused["attempts"]}
        assert tried == {"box1+box2", "box1+box3", "box2+box3"}
        own.call("down", "two", "--yes")
        own.up("part", "--gpu", "3090:1", "--nodes", "3", code=5)
        assert set(newest(tmp_path / "leases-box1").values()) | set(newest(tmp_path / "leases-box3").values()) == {
            "free"
        }
        assert not list(own.servers["box1"].home.iterdir()), (
            "what was taken for a group that is not whole is given back"
        )


def test_racing_commands_get_different_gpus(tmp_path, record_property):
    with own_machines(tmp_path, "box1", count=4) as own:
        started = [
            own.start("-o", "json", "up", f"r{number}", "--cloud", "ssh", "--gpu", "3090:1", "--yes")
            for number in range(8)
        ]
        ends = [(process.communicate(timeout=120), process.returncode) for process in started]
        assert sorted(code for _, code in ends) == [0] * 4 + [5] * 4, ends
        ready = [json.loads(out)["deployments"][0]["name"] for (out, _), code in ends if code == 0]
        asked = [own.start("exec", name, "--", "echo $CUDA_VISIBLE_DEVICES") for name in ready]
        assert sorted(process.communicate(timeout=60)[0] for process in asked) == ["0\n", "1\n", "2\n", "3\n"]
        record_property("told", "8 racing `up --cloud ssh` for 4 GPUs: 4 leases, 4 refusals, no GPU held twice")


def test_the_deadline_ends_runs_and_the_lease_and_nothing_else(tmp_path):
    with own_machines(tmp_path, "box1", count=1) as own:
        stranger = subprocess.Popen(["sleep", "300"])
        try:
            own.up("a", "--gpu", "3090", "--max-hours", "0.0025")  # 9 s
            script = "mkdir out; echo model >out/m; exit 4"
            own.call("run", "--on", "a", "--no-sync", "--detach", "--pull", "out", script)
            command = "trap 'echo asked; exit 9' INT; echo $$; while :; do sleep 0.1; done"
            ran = own.start("run", "--on", "a", "--no-sync", command)
            out, _ = ran.communicate(timeout=60)
            assert ran.returncode == 9 and out.splitlines()[1:] == ["asked"]
            late = own.start("run", "--on", "a", "--no-sync", "echo never")
            assert "never" not in late.communicate(timeout=60)[0] and late.returncode == 76
            ends = time.monotonic() + 30
            while own.call("ls", "--refresh")["deployments"][0]["state"] != "ended_by_guard":
                assert time.monotonic() < ends
                time.sleep(0.2)
            assert stranger.poll() is None
            assert {run["id"]: run["exit_code"] for run in own.call("ps")["runs"]}["a/1"] == 4, "it ended before"
            assert own.start("logs", "a/2").communicate(timeout=60)[0] == out
            waited = own.start("wait", "a/1")
            assert waited.communicate(timeout=60) and waited.returncode == 4
            assert (tmp_path / "work" / "out" / "m").read_text() == "model\n"
            refused = own.call("exec", "a", "--", "ls", code=8)["error"]
            assert "gpucloud pull a" in refused["hint"]
            again = own.up("a", "--gpu", "3090", "--max-hours", "0.0025", code=8)["error"]
            assert "files are still there" in again["message"]
            assert own.up("b", "--gpu", "3090")["deployments"][0]["state"] == "ready"
            own.call("down", "a", "--yes")
            shown = own.call("check", "ssh")["clouds"][0]["hosts"][0]["gpus"][0]
            assert shown["deployment"].startswith("b-"), "the old one gives nothing back that is another's"
        finally:
            stranger.kill()
            stranger.wait()


def test_down_ends_what_was_started_even_what_left_its_group(tmp_path):
    with own_machines(tmp_path, "box1", count=1) as own:
        own.up("a", "--gpu", "3090")
        home = own.servers["box1"].home
        stubborn = f"trap '' TERM; echo $$ >'{home}/stubborn'; sleep 302; sleep 303"
        command = f"setsid sleep 301 & echo $! >'{home}/stray'; {stubborn}"
        own.call("run", "--on", "a", "--no-sync", "--detach", command)
        ends = time.monotonic() + 20
        while not (home / "stubborn").exists() or not (home / "stubborn").read_text():
            assert time.monotonic() < ends
            time.sleep(0.05)
        own.call("down", "a", "--yes")
        for name in ("stray", "stubborn"):
            with suppress(ProcessLookupError):
                os.kill(int((home / name).read_text()), 0)
                state = Path(f"/proc/{int((home / name).read_text())}/stat").read_text().rpartition(")")[2].split()[0]
                assert state == "Z", name


def test_without_the_journal_everything_is_found_and_removed(tmp_path):
    with own_machines(tmp_path, "box1", "box2", count=1) as own:
        own.up("a", "--gpu", "3090")
        own.up("b", "--gpu", "3090")
        for path in own.home.glob("state.db*"):
            path.unlink()
        assert own.call("down", "a", "--yes")["remaining"] == []
        orphans = own.call("gc")["orphans"]
        assert [(item["class"], item["region"]) for item in orphans] == [("mine_lost", "box2")]
        own.call("gc", orphans[0]["id"], "--yes")
        assert set(newest(tmp_path / "leases-box2").values()) == {"free"}
        assert not list(own.servers["box2"].home.iterdir())


def test_a_host_that_is_down_is_passed_over_and_never_counted_as_empty(tmp_path):
    with own_machines(tmp_path, "box1", "box2", count=1) as own:
        own.up("a", "--gpu", "3090", "--region", "box1")
        own.servers["box1"].stop()
        assert own.up("b", "--gpu", "3090:1", "--region", "box1", code=7)["error"]["code"] == "unreachable"
        assert own.up("b", "--gpu", "3090")["deployments"][0]["region"] == "box2"
        hosts = own.call("check", "ssh")["clouds"][0]["hosts"]
        assert [(host["host"], host["reachable"]) for host in hosts] == [("box1", False), ("box2", True)]
        assert "refused" in hosts[0]["reason"]
        told = own.start("-o", "json", "gc")
        out, _ = told.communicate(timeout=90)
        assert told.returncode == 9 and [
            item["region"] for item in json.loads(out)["unscanned"] if item["cloud"] == "ssh"
        ] == ["box1"]
        lost = own.call("down", "a", "--yes", code=9, GPUCLOUD_WAIT_SILENT="1", GPUCLOUD_WAIT_DESTROY="2")
        assert lost["error"]["code"] == "cleanup_incomplete"


# ---- host keys


def test_a_changed_host_key_is_fatal_and_says_how_to_check(tmp_path):
    with own_machines(tmp_path, "box1", count=1) as own:
        own.hosts[0]["fingerprint"] = "SHA256:" + "A" * 43
        own.write()
        refused = own.up("a", "--gpu", "3090", code=7)["error"]
        assert refused["code"] == "host_key" and "ssh-keygen -lf" in refused["hint"]
        assert not list(own.servers["box1"].home.iterdir())


def test_an_unknown_key_is_one_question_that_yes_does_not_answer(tmp_path):
    with own_machines(tmp_path, "box1", count=1, pinned=False) as own:
        refused = own.up("a", "--gpu", "3090", code=7)["error"]
        assert refused["code"] == "host_key" and "fingerprint" in refused["hint"]
        words = ["up", "a", "--cloud", "ssh", "--gpu", "3090", "--yes"]
        asked = answered(own, words, "n\n")
        assert asked[0] == 7 and keys.fingerprint(own.servers["box1"].endpoint.host_key) in asked[1]
        asked = answered(own, words, "y\n")
        assert asked[0] == 0 and asked[1].count("Is that the machine's own?") == 1, asked
        assert own.up("b", "--instance-type", "box1")["deployments"][0]["state"] == "ready", "and never again"


def answered(own, words: list[str], answer: str) -> tuple[int, str]:
    """Exit code and screen of a command on a terminal on which one answer is typed at the first question."""
    master, slave = pty.openpty()
    (own.folder / "work").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "gpucloud", *words],
        cwd=own.folder / "work",
        env=own.environment(TERM="dumb"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    screen, ends = b"", time.monotonic() + 60
    while time.monotonic() < ends:
        if select.select([master], [], [], 0.1)[0]:
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            if not data:
                break
            screen += data
            if answer and b"?" in screen and b"[y/N]" in screen:
                os.write(master, answer.encode())
                answer = ""
        elif process.poll() is not None:
            break
    os.close(master)
    return process.wait(timeout=10), screen.decode(errors="replace")


@pytest.mark.parametrize("hashed", [False, True])
def test_the_users_known_hosts_pins_a_machine(tmp_path, hashed):
    with own_machines(tmp_path, "box1", count=1, pinned=False) as own:
        endpoint = own.servers["box1"].endpoint
        folder = Path(own.environment()["HOME"]) / ".ssh"
        folder.mkdir()
        known = folder / "known_hosts"
        known.write_text(f"[{endpoint.host}]:{endpoint.port} {endpoint.host_key}\n")
        if hashed:
            subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
            assert endpoint.host not in known.read_text()
        assert own.up("a", "--gpu", "3090")["deployments"][0]["state"] == "ready"
        assert endpoint.host_key.split()[1] in (own.home / "known_hosts").read_text(), "plain `ssh a` is strict too"


def test_through_a_jump_host_that_is_pinned_too(tmp_path):
    with own_machines(tmp_path, "gate", "box1", count=1) as own:
        own.hosts[1]["proxy_jump"] = "gate"
        own.write()
        made = own.up("a", "--gpu", "3090", "--region", "box1")["deployments"][0]
        assert made["state"] == "ready"
        assert own.start("exec", "a", "--", "echo through").communicate(timeout=60)[0] == "through\n"
        config = (own.home / "ssh_config").read_text()
        assert "ProxyJump gpucloud-jump-127.0.0.1" in config and config.count("Host ") >= 2
        own.call("down", "a", "--yes")
        own.hosts[0]["fingerprint"] = "SHA256:" + "B" * 43
        own.write()
        assert own.up("a", "--gpu", "3090", "--region", "box1", code=7)["error"]["code"] == "host_key"


# ---- what can be wrong with a host or its account


@pytest.mark.parametrize("wrong", ["port closed", "user", "key", "key file", "home", "shelf", "no shell", "driver"])
def test_each_trouble_is_one_clear_error(tmp_path, wrong):
    with own_machines(tmp_path, "box1", count=1) as own:
        server, entry = own.servers["box1"], own.hosts[0]
        code, error, words = 7, "bootstrap", ""
        if wrong == "port closed":
            entry["port"], error, words = 1, "unreachable", "nothing listens"
        elif wrong == "user":
            entry["user"], error, words = "nobody-here", "unreachable", "nobody-here@"
        elif wrong == "key":
            stranger = tmp_path / "stranger"
            keys.public_key(stranger)
            entry["identity_file"], error, words = str(stranger), "unreachable", "does not let us in"
        elif wrong == "key file":
            entry["identity_file"], code, error, words = str(tmp_path / "none"), 2, "usage", "no key file"
        elif wrong == "home":
            (server.home / "gpucloud").write_text("a file where our folder should be")
            words = "cannot be used"
        elif wrong == "shelf":
            entry["lease_dir"], words = "/proc/gpucloud-leases", "may not make it"
        elif wrong == "no shell":
            server.reconfigure("ForceCommand cd", "ForceCommand echo closed today; exit 1; cd")
            words = "closed today"
        else:
            driver = fake_driver(server, [])
            driver.write_text("#!/bin/sh\necho 'Failed to initialize NVML'; exit 9\n")
            with_driver(server, driver)
            words = "Failed to initialize NVML"
        own.write()
        refused = own.up("a", "--gpu", "3090", code=code)["error"]
        assert refused["code"] == error and words in refused["message"] + str(refused["attempts"]) and refused["hint"]
        assert own.call("ls")["deployments"] == [] or own.call("ls")["deployments"][0]["state"] == "failed"
        assert not list((tmp_path / "leases-box1").glob("*")) or set(newest(tmp_path / "leases-box1").values()) == {
            "free"
        }


def test_without_an_inventory_the_hint_is_an_example(tmp_path):
    with own_machines(tmp_path, "box1") as own:
        (own.home / "hosts.yaml").unlink()
        refused = own.up("a", "--gpu", "3090", code=2)["error"]
        assert "hosts.yaml" in refused["message"] and "address:" in refused["hint"]
        assert own.call("check", "ssh", code=4)["error"]["code"] == "credentials"
        assert "ssh" not in {item["cloud"] for item in own.call("gc")["unscanned"]}


def test_compare_lists_own_machines(tmp_path):
    with own_machines(tmp_path, "box1", count=2) as own:
        own.hosts[0]["usd_per_hour"] = 0.5
        own.write()
        offers = own.call("compare", "--cloud", "ssh", "3090")["offers"]
        assert [(o["instance_type"], o["accelerator_count"], o["usd_per_hour"], o["price_kind"]) for o in offers] == [
            ("box1+RTX3090:1", 1, 0.25, "own"),
            ("box1+RTX3090:2", 2, 0.5, "own"),
        ]
        assert own.call("compare", "--cloud", "ssh", "--region", "box9", code=2)["error"]["code"] == "usage"
        assert {offer["cloud"] for offer in own.call("compare", "--cloud", "local")["offers"]} == {"local"}
