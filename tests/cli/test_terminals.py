"""Any terminal will do: without UTF-8, without colours, narrow or wide, closed, full, or left by its reader."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys

import pytest

from gpucloud.cli.app import main
from gpucloud.cli.options import narrate
from tools.cli_docs import commands

MAIN = [
    [],
    ["--version"],
    ["gpus", "A100"],
    ["compare", "A100:8"],
    ["compare", "T4", "--cloud", "aws", "-o", "wide"],
    ["compare", "T4", "--cloud", "aws", "-o", "csv"],
    ["compare", "T4", "--cloud", "aws", "-o", "markdown"],
    ["throughput", "A100", "--model", "resnet50"],
    ["recommend", "--work", "90 epochs", "--model", "resnet50", "--explain", "--chart"],
    ["estimate", "spot", "--checkpoint", "60s", "--mtbf", "10h"],
    ["catalog", "info"],
    ["ls"],
    ["ps"],
    ["cost"],
    ["up", "here", "--cloud", "local", "--dry-run"],
    ["up", "there", "--cloud", "aws", "--gpu", "T4", "--dry-run"],
]
WRONG = [
    ["compare", "é"],
    ["nöthing"],
    ["up", "Größe"],
    ["run", "--secret", "NO_SUCH_SECRET", "true"],
    ["recommend", "--work", "ü"],
]
ESCAPE = re.compile(r"\x1b\[\d*m")


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors, write_through=True)


def said(words: list[str], monkeypatch, encoding: str = "utf-8", errors: str = "strict") -> tuple[int, str, str]:
    out, err = stream(encoding, errors), stream(encoding, errors)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = main(words)
    return code, *(one.buffer.getvalue().decode(encoding) for one in (out, err))


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_an_ascii_terminal_can_show_everything(monkeypatch, errors):
    for words in [*MAIN, *([*words, "--help"] for words in commands())]:
        code, out, err = said(words, monkeypatch, "ascii", errors)
        assert code == 0 and (out or err), (words, err)
    for words in WRONG:
        code, _, err = said(words, monkeypatch, "ascii", errors)
        assert code == 2 and err.startswith("Error: "), (words, err)


def test_a_chart_for_ascii_has_ascii_marks(monkeypatch):
    words = ["recommend", "--work", "90 epochs", "--model", "resnet50", "--chart"]
    ascii_only, letters = said(words, monkeypatch, "ascii")[1], said(words, monkeypatch)[1]
    assert "* Pareto front" in ascii_only and "\\u" not in ascii_only and "◆ Pareto front" in letters


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1", "FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_command_sends_an_escape(monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for words in [*MAIN, ["up", "--help"], *WRONG[:2]]:
        _, out, err = said(words, monkeypatch)
        assert "\x1b" not in out + err, words


def test_colours_only_stand_around_words(monkeypatch):
    for words in [*MAIN[2:], *WRONG[:2]]:
        plain = said(words, monkeypatch)
        with monkeypatch.context() as patch:
            patch.setenv("FORCE_COLOR", "1")
            coloured = said(words, monkeypatch)
        never = words[0] == "cost" or {"json", "csv", "markdown"} & set(words)
        assert bool(ESCAPE.search("".join(coloured[1:]))) is not bool(never), words
        assert (coloured[0], *(ESCAPE.sub("", text) for text in coloured[1:])) == plain, words


@pytest.mark.parametrize("columns", [40, 60])
def test_tables_and_plans_fit_a_narrow_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in MAIN[2:]:
        if not {"wide", "csv", "markdown"} & set(words):
            lines = said(words, monkeypatch)[1].splitlines()
            whole = [
                line for line in lines if line.startswith("  gpucloud ") or " " not in line.strip()
            ]  # to be copied
            wide = [line for line in lines if len(line) > columns and line not in whole]
            assert not wide, (words, wide)


def test_the_greeting_fits_a_narrow_terminal_with_its_commands_whole(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = said([], monkeypatch)[1].splitlines()
    assert max(map(len, lines)) <= 40 and "  gpucloud run python train.py" in lines


def test_a_wide_terminal_shows_all_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "5000")
    for words in MAIN[2:]:
        assert "Left out for the width" not in said(words, monkeypatch)[1], words


def test_the_locale_c_in_a_process_of_its_own(tmp_path):
    base = {**os.environ, "LC_ALL": "C", "GPUCLOUD_HOME": str(tmp_path)}
    for more in ({}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, {"PYTHONIOENCODING": "ascii"}):
        words = [sys.executable, "-m", "gpucloud", "run", "--secret", "NO_SUCH_SECRET", "true"]
        done = subprocess.run(words, capture_output=True, env={**base, **more}, timeout=60)
        assert done.returncode == 2 and done.stderr.startswith(b"Error: The secret NO_SUCH_SECRET"), (more, done)


def shell(line: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("gpucloud", f"{shlex.quote(sys.executable)} -m gpucloud")
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("gpucloud compare -o csv --all-regions | head -n 1; exit ${PIPESTATUS[0]}", 0),  # more than a pipe holds
        ("gpucloud compare -o csv --all-regions >&-", 0),
        ("gpucloud --version >&- 2>&- <&-", 0),
        ("gpucloud compare X9000 2>&-", 2),
    ],
)
def test_closed_streams(line, code):
    done = shell(line)
    assert (done.returncode, done.stderr) == (code, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_full_streams():
    done = shell("gpucloud compare T4 > /dev/full")
    assert done.returncode == 1 and "No space left" in done.stderr and "Traceback" not in done.stderr
    assert shell("gpucloud compare X9000 2> /dev/full").returncode == 2


def test_a_closed_stream_gives_its_number_to_no_file_of_ours(tmp_path):
    """Else what is printed would land in the journal."""
    code = (
        "import os, sys; from gpucloud.cli import streams; streams.prepare(); print(os.open(sys.argv[1], os.O_RDONLY))"
    )
    script = tmp_path / "script.py"
    script.write_text(f"{code.replace('print(', 'number = (')}\nraise SystemExit(0 if number > 2 else 1)\n")
    words = shlex.join([sys.executable, str(script), str(script)])
    done = subprocess.run(["bash", "-c", f"{words} <&- >&- 2>&-"], timeout=60)
    assert done.returncode == 0


def test_a_listener_who_left_stops_no_command(monkeypatch):
    class Left(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Left())
    narrate("Creating a machine.")  # raises nothing


@pytest.mark.parametrize(
    ("words", "code"), [(["ls"], 0), (["up"], 1), (["run", "x"], 1), (["-o", "csv", "compare"], 0)]
)
def test_a_pipe_that_broke_in_a_command_that_changes_something_is_told(words, code, capsys):
    from gpucloud.cli import failure
    from gpucloud.cli.options import Globals

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(failure.streams, "mute", lambda stream: None)
        assert failure.report(BrokenPipeError(32, "Broken pipe"), words, Globals()) == code
    assert ("Error: A pipe" in capsys.readouterr().err) is (code == 1)
