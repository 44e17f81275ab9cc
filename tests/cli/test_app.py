"""The frame of the command line: errors as sentences, global options anywhere, help without loading commands."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gpucloud.cli import failure, registry
from gpucloud.cli.app import main
from gpucloud.cli.options import Globals
from gpucloud.core.errors import CapacityError, Interrupted, NothingFits


def test_without_arguments_it_greets_with_the_five_verbs(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    for verb in ("compare", "recommend", "up", "run", "down"):
        assert f"gpucloud {verb}" in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gpucloud ")


def test_an_unknown_command_gets_the_nearest_one(capsys):
    assert main(["compar"]) == 2
    err = capsys.readouterr().err
    assert "no command 'compar'" in err and "`gpucloud compare`" in err


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("refresh", "no command 'refresh'", "`gpucloud catalog refresh`"),
        ("destroy", "no command 'destroy'", "`gpucloud down`"),
        ("catalog infos", "no command 'infos' in `gpucloud catalog`", "`gpucloud catalog info`"),
        ("estimate", "Which command of `gpucloud estimate`", "train, memory"),
        ("compare --regoin x", "No such option: --regoin.", "Did you mean `--region`? See `gpucloud compare --help`"),
        ("compare --all-r", "No such option: --all-r.", "Did you mean `--all-regions`?"),
        ("recommend --yes", "No such option: --yes.", "See `gpucloud recommend --help`"),
        ("compare --max-price 3", "No such option: --max-price.", "`--max-usd-per-hour`"),
        (
            "compare --gpu A100",
            "No such option: --gpu.",
            "It stands without an option: `gpucloud compare [OPTIONS] [GPU[:N]",
        ),
        ("up --name big", "No such option: --name.", "It stands without an option: `gpucloud up [OPTIONS] [name]`"),
        ("compare --limit x", "'x' is not a whole number.", "--limit: Rows"),
        ("up a b", "Too many words: b.", "`gpucloud up [OPTIONS] [name]`"),
        ("extend train", "How much longer", "`gpucloud extend train 6h`"),
        ("recommend", "Missing option '--work'.", "--work: "),
    ],
)
def test_what_the_parser_refuses_is_a_sentence_and_the_way_on(words, message, hint, capsys):
    assert main(words.split()) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert message in first and hint in second


def test_a_wrong_output_format_names_the_right_ones(capsys):
    assert main(["-o", "xml", "ls"]) == 2
    assert "table, wide, json, csv, markdown" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["-o", "json", "nope"], ["--output=json", "nope"], ["nope", "-o", "json"]])
def test_an_error_is_one_json_object_on_stderr(words, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    body = json.loads(err)["error"]
    assert body["code"] == "usage" and body["exit_code"] == 2 and body["message"] and body["hint"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(NothingFits("x"), 3), (CapacityError("x"), 5), (KeyboardInterrupt(), 130), (OSError(28, "No space left"), 1)],
)
def test_exit_codes(error, code, capsys):
    assert failure.report(error, [], Globals()) == code
    assert capsys.readouterr().err.startswith("Error: ")


def test_a_traceback_only_with_debug(capsys):
    for words, shown in (([], False), (["--debug"], True)):
        try:
            raise ValueError("boom")
        except ValueError as error:
            assert failure.report(error, words, Globals()) == 1
        assert ("Traceback" in capsys.readouterr().err) is shown


def test_an_interrupt_is_ours(capsys):
    assert isinstance(failure.explain(KeyboardInterrupt()), Interrupted)


def test_help_loads_no_command_and_nothing_heavy():
    names = {
        entry.module
        for section in registry.SECTIONS.values()
        for entry in section.values()
        if isinstance(entry, registry.Entry)
    }
    code = (
        "import sys; from gpucloud.cli.app import main; main(['--help']); "
        "heavy = ('paramiko', 'asyncssh', 'yaml', 'boto3', 'sqlite3', 'rich'); "
        "bad = [m for m in sys.modules if m.split('.')[0] in heavy"
        f" or m in {sorted('gpucloud.cli.' + name for name in names)!r}]; print(bad, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_reader_that_leaves_is_no_error():
    command = f"{sys.executable} -m gpucloud --help | head -n 1; echo"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr and "Error" not in done.stderr
