"""Shell completion: live names, in the shells' own protocol, and never a word too much."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ESCAPE = re.compile(r"\x1b(?:\[[0-9;?=>]*[A-Za-z]|[=>]|\][^\x07]*\x07)|[\x07\x08]")


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


@pytest.mark.parametrize(
    "line", ["gpucloud nonsense ", "gpucloud catalog nonsense ", "gpucloud compare --limit x --cl"]
)
def test_a_line_that_makes_no_sense_is_silence(home: Path, line: str) -> None:
    completed(home, line)  # says nothing on the terminal


class Terminal:
    """An interactive shell with our completion installed, as a new user has it."""

    def __init__(self, shell: str, home: Path, place: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ours = {"GPUCLOUD_HOME": str(home), "HOME": str(place), "ZDOTDIR": str(place), "PATH": path, "TERM": "xterm"}
        environ = {**os.environ, **ours, "XDG_CONFIG_HOME": str(place / ".config")}
        install = [shell, "-c", "gpucloud --install-completion; true"]
        subprocess.run(install, env=environ, check=True, timeout=60, capture_output=True)
        words = [sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])", shell, "-i"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self._shell = subprocess.Popen(words, env=environ, cwd=place, bufsize=0, **pipes)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self._shell.kill()  # closes the terminal, which ends the shell
        self._shell.communicate(timeout=30)

    def types(self, keys: str, awaited: str) -> None:
        """Fails when the screen does not come to say that; what was typed shows on it too."""
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.write(keys.encode())
        seen, end = "", time.monotonic() + 30
        while awaited not in seen:
            ready = select.select([self._shell.stdout], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"{keys!r} did not bring {awaited!r}, but {seen!r}"
            seen = ESCAPE.sub("", seen + os.read(self._shell.stdout.fileno(), 4096).decode(errors="replace"))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_new_shell_completes_at_the_first_tab(shell: str, home: Path, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    with Terminal(shell, home, tmp_path) as terminal:
        terminal.types("gpucloud comp\t", "compare ")
        terminal.types("H100-S\t", "H100-SXM-80GB ")
        terminal.types("--cloud aws,az\t", "aws,azure")


def test_without_a_home_nothing_is_made(tmp_path: Path) -> None:
    assert completed(tmp_path / "none", "gpucloud down ") == []
    assert not (tmp_path / "none").exists()


def test_a_broken_journal_is_silence(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("not a journal")
    assert completed(tmp_path, "gpucloud down ") == []
