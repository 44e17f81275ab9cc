"""Shell completion: live names, in the shells' own protocol, and never a word too much."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def completed(home: Path, line: str, shell: str = "bash") -> list[str]:
    """What the shell's completion script gets for the last word of `line`."""
    words = line.split(" ")
    asked = {"_GPUCLOUD_COMPLETE": f"complete_{shell}", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    fish = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    zsh = {"_TYPER_COMPLETE_ARGS": line} if shell == "zsh" else {}
    environ = {**os.environ, "GPUCLOUD_HOME": str(home), **asked, **fish, **zsh}
    script = Path(sys.executable).with_name("gpucloud")
    done = subprocess.run([str(script)], env=environ, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a machine that is up and one that is down."""
    place = tmp_path_factory.mktemp("complete home")
    script = place / "fake.yaml"
    script.write_text("{}")
    environ = {**os.environ, "GPUCLOUD_HOME": str(place), "GPUCLOUD_FAKE_SCRIPT": str(script)}
    for words in (("up", "alpha"), ("up", "beta"), ("down", "beta")):
        where = ("--cloud", "fake") if words[0] == "up" else ()
        command = [sys.executable, "-m", "gpucloud", *words, *where, "--yes"]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gpucloud com", ["compare"]),
        ("gpucloud catalog hi", ["history"]),
        ("gpucloud compare H100-S", ["H100-SXM-80GB"]),
        ("gpucloud compare --cloud aws,az", ["aws,azure"]),
        ("gpucloud compare --model resnet50v", []),
        ("gpucloud compare --region us-central1", ["us-central1"]),
        ("gpucloud compare -o js", ["json"]),
        ("gpucloud catalog refresh l", ["lambda"]),
        ("gpucloud down ", ["alpha"]),
        ("gpucloud ssh al", ["alpha"]),
        ("gpucloud logs al", ["alpha"]),
        ("gpucloud compare --sort th", ["throughput"]),
        ("gpucloud run --on a", ["alpha"]),
        ("gpucloud init ref", ["reference"]),
    ],
)
def test_words(home: Path, line: str, words: list[str]) -> None:
    assert completed(home, line) == words


def test_other_shells(home: Path) -> None:
    assert "alpha" in completed(home, "gpucloud down ", "fish")
    assert "alpha" in " ".join(completed(home, "gpucloud down ", "zsh"))


def test_without_a_home_nothing_is_made(tmp_path: Path) -> None:
    assert completed(tmp_path / "none", "gpucloud down ") == []
    assert not (tmp_path / "none").exists()


def test_a_broken_journal_is_silence(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("not a journal")
    assert completed(tmp_path, "gpucloud down ") == []
