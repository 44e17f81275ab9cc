"""Ranks, addresses and torchrun's words."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from gpucloud.core.errors import UsageError
from gpucloud.core.launcher import (
    World,
    is_python,
    launched_command,
    launcher_words,
    plain_words,
    price_environment,
    rank_environment,
    rendezvous_port,
    worst_exit,
)

TWO = World(("10.0.0.1", "10.0.0.2"), 8, 23456)
ONE = World(("10.0.0.1",), 8, 23456)
SCRIPT = ("python3", "train.py", "--epochs", "3")


def test_every_node_knows_its_place():
    assert rank_environment(TWO, 1) == {
        "NODE_RANK": "1",
        "NNODES": "2",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "23456",
        "GPUS_PER_NODE": "8",
        "GPUCLOUD_NODE_IPS": "10.0.0.1 10.0.0.2",
    }


def test_a_command_knows_the_price_of_its_machines():
    assert price_environment(0.526 * 3, "2026-11-20") == {
        "GPUCLOUD_USD_PER_HOUR": "1.578000",
        "GPUCLOUD_PRICE_OBSERVED_ON": "2026-11-20",
    }
    assert price_environment(0.0, "2026-11-20")["GPUCLOUD_USD_PER_HOUR"] == "0.000000"
    assert price_environment(None, "") == {}


def test_torchrun_replaces_the_interpreter():
    words = launcher_words("torchrun", SCRIPT, TWO, 1)
    assert words[:2] == ("/bin/sh", "-c") and words[3:7] == ("10.0.0.2", "python3", "-m", "torch.distributed.run")
    assert "--node_rank=1" in words
    assert "--nproc_per_node=8" in words and "--master_port=23456" in words
    assert launched_command(words, SCRIPT) == ("train.py", "--epochs", "3")


@pytest.mark.skipif(shutil.which("ip") is None, reason="the program ip is not installed (apt-get install iproute2)")
@pytest.mark.parametrize(
    ("address", "given", "seen"), [("127.0.0.1", "", "lo"), ("127.0.0.1", "eth9", "eth9"), ("192.0.2.77", "", "")]
)
def test_gloo_gets_the_interface_of_the_nodes_address(address, given, seen):
    words = launcher_words("torchrun", SCRIPT, World(("10.0.0.1", address), 1, 1), 1)
    begin = words[: words.index("python3")]
    environment = {"PATH": os.environ["PATH"], "GLOO_SOCKET_IFNAME": given}
    asked = [*begin, "sh", "-c", 'echo "$GLOO_SOCKET_IFNAME"']
    assert subprocess.run(asked, env=environment, capture_output=True, text=True).stdout.strip() == seen


def test_auto_leaves_a_single_node_and_shell_text_alone():
    assert launcher_words("auto", SCRIPT, ONE, 0) == ()
    assert launcher_words("auto", "make train", TWO, 0) == ()
    assert launcher_words("auto", SCRIPT, TWO, 0) != ()
    assert launcher_words("none", SCRIPT, TWO, 0) == ()
    assert launched_command((), SCRIPT) == SCRIPT


def test_torchrun_without_a_script_is_refused():
    with pytest.raises(UsageError, match="python SCRIPT"):
        launcher_words("torchrun", "make train", TWO, 0)


def test_nodes_without_gpus_get_one_process():
    assert "--nproc_per_node=1" in launcher_words("torchrun", SCRIPT, World(("a", "b"), 0, 1), 0)


def test_runs_do_not_meet():
    ports = {rendezvous_port(f"train/{number}") for number in range(200)}
    assert len(ports) > 190 and all(20000 <= port < 30000 for port in ports)


@pytest.mark.parametrize(
    ("codes", "worst"), [({0: 0, 1: 0}, 0), ({0: 0, 1: 137}, 137), ({0: 3, 1: None}, None), ({}, None)]
)
def test_the_worst_exit_code_is_returned(codes, worst):
    assert worst_exit(codes) == worst


def test_what_counts_as_python():
    assert is_python(SCRIPT) and is_python(("/usr/bin/python", "-m", "pkg"))
    assert not is_python(("bash", "x.py")) and not is_python("python x.py") and not is_python(("python",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("python train.py --lr 0.1", ("python", "train.py", "--lr", "0.1")),
        ("python3 -m job a=b", ("python3", "-m", "job", "a=b")),
        ("python train.py && ls", None),
        ("LR=1 python train.py", None),
        ("python train.py '$HOME'", None),
        ("python train.py\npython test.py", None),
        ("sh train.sh", None),
        ("", None),
        (("python", "a b.py"), None),
    ],
)
def test_plain_words_of_a_script_are_words(text, words):
    assert plain_words(text) == (words or text)
