"""What --debug leaves for a report: enough to understand the error, no secret, and never an error of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpucloud.cli import debug_bundle, failure
from gpucloud.cli.app import main
from gpucloud.cli.options import Globals
from gpucloud.core.errors import UsageError
from gpucloud.core.events import Draft
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal

TOKEN = "9f" * 32


@pytest.fixture
def home(tmp_path, monkeypatch) -> Home:
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path / "home"))
    return Home(tmp_path / "home")


def left(home: Home) -> list[Path]:
    return sorted((home.root / "debug").glob("*"))


def fail(error: Exception, words: list[str]) -> None:
    try:
        raise error
    except Exception as caught:
        failure.report(caught, words, Globals(debug=True))


def test_it_tells_what_is_needed_and_where_it_is(home, capsys):
    Journal.open(home).append(
        Draft("attempt_refused", "train-abcd", {"attempt": 1, "code": "capacity", "message": "None free in us-east-1."})
    )
    assert main(["compare", "X9000", "--debug"]) == 2
    (path,) = left(home)
    assert str(path) in capsys.readouterr().err
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    told = json.loads(path.read_text())
    assert told["versions"]["gpucloud"] and told["versions"]["python"] and told["versions"]["platform"]
    assert told["command"] == ["compare", "X9000", "--debug"]
    assert (told["error"]["code"], told["error"]["exit_code"]) == ("usage", 2)
    assert told["exceptions"][0]["kind"] == "UsageError"
    assert any("cli/compare.py" in frame for frame in told["exceptions"][0]["frames"])
    assert told["extras"]["base"]["typer"] and "boto3" in told["extras"]["aws"]
    assert "GPUCLOUD_HOME" in told["environment"]
    assert told["journal"][-1]["message"] == "None free in us-east-1." and told["journal"][-1]["code"] == "capacity"
    assert "state.db" in told["home"]


def test_no_bundle_without_debug(home, capsys):
    assert main(["compare", "X9000"]) == 2
    assert "bundle" not in capsys.readouterr().err and not (home.root / "debug").exists()


def test_secrets_everywhere_and_none_in_the_bundle(home, monkeypatch):
    names = ("AWS_SECRET_ACCESS_KEY", "LAMBDA_API_KEY", "AZURE_CLIENT_SECRET", "HF_TOKEN", "PLAIN", "WANDB_API_KEY")
    for name in names:
        monkeypatch.setenv(name, f"canary-{name.lower()}")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:canary-proxy@proxy:3128")
    home.keys.mkdir(parents=True)
    home.proof_file("train-abcd", 1).write_text(TOKEN + "\n")
    (home.root / "hosts.yaml").write_text("password: canary-file\n")
    Journal.open(home).append(
        Draft("attempt_opened", "train-abcd", {"attempt": 1, "token": "canary-event", "offer": {"cloud": "aws"}}),
        Draft("run_created", "train-abcd", {"run": "train/1", "command": ["sh", "-c", "echo canary-command"]}),
        Draft("attempt_refused", "train-abcd", {"code": "capacity", "message": "Authorization: Bearer canary-cloud"}),
    )
    words = ["run", "--debug", "--on", "train", "--secret", "HF_TOKEN", "--env", "A=canary-env", "--env", "PLAIN"]
    words += ["--env=B=canary-eq", "--setup", "canary-setup", "--", "python", "--key", "canary-word", "canary-bare"]
    try:
        try:
            raise OSError(f"cannot open https://me:canary-url@host/x?sig=canary-sig {TOKEN}")
        except OSError as cause:
            values = " ".join(os.environ[name] for name in names)
            raise UsageError(f"bad {values} canary-env", "token=canary-hint canary-word") from cause
    except UsageError as caught:
        failure.report(caught, words, Globals(debug=True))
    text = left(home)[0].read_text()
    assert "canary" not in text and TOKEN not in text
    assert "HF_TOKEN" in text and "run_created" in text and '"cloud": "aws"' in text  # names and facts stay


TASK = """name: train
env:
  MODE: "canary-mode"
  DB_URL: postgres://joe:canary-db@db/x  # canary-comment
  MANY: [canary-many]
  LONG: |
    canary-long
  lower: canary-lower
"""


@pytest.mark.parametrize("task", [TASK, TASK.replace("lower: canary-lower", "") + "run: [", "env: {A: canary-flow, B"])
def test_values_of_the_task_file_and_of_settings_are_in_no_bundle(home, tmp_path, monkeypatch, task):
    """Also where the file cannot be parsed, or its error quotes the value."""
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    (tmp_path / "there" / "gpucloud.yaml").write_text(task)
    home.root.mkdir()
    (home.root / "config.yaml").write_text("lambda_api_key: canary-config\nhttps_proxy: http://a:canary-set@p:1\n")
    assert main(["up", "--debug", "--yes", "--no-input"]) == 2
    fail(ValueError(f"cannot use {task} canary-config http://a:canary-set@p:1"), ["up"])
    paths = left(home)
    text = "".join(path.read_text() for path in paths).replace("canary-comment", "")
    if "run: [" in task:  # what cannot be parsed is only known line by line
        text = text.replace("canary-long", "")
    assert len(paths) == 2 and "canary" not in text and "cannot use" in text


def test_the_newest_ten_are_kept(home):
    (home.root / "debug").mkdir(parents=True)
    mine = home.root / "debug" / "notes.txt"
    mine.write_text("not a bundle")
    for number in range(13):
        fail(ValueError(f"number {number}"), [])
    kept = [path for path in left(home) if path != mine]
    assert len(kept) == debug_bundle.KEPT and mine.exists()
    messages = [json.loads(path.read_text())["exceptions"][0]["message"] for path in kept]
    assert messages == [f"number {number}" for number in range(3, 13)]


def test_a_broken_journal_is_told_not_raised(home):
    home.root.mkdir()
    home.state_db.write_text("no journal")
    fail(ValueError("boom"), ["ls"])
    told = json.loads(left(home)[0].read_text())
    assert "StateConflict" in told["journal"] and told["exceptions"][0]["message"] == "boom"
    assert home.state_db.read_text() == "no journal"


def test_a_home_that_cannot_be_written_hides_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path / "file" / "home"))
    fail(UsageError("The words make no sense.", "Read the help."), ["ls"])
    err = capsys.readouterr().err
    assert "No debug bundle could be written" in err and "Error: The words make no sense." in err


def test_an_error_that_cannot_be_read_is_no_second_error(home, capsys):
    class Odd(UsageError):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    fail(Odd("odd"), ["ls"])
    assert "not known: RuntimeError" in left(home)[0].read_text()
    assert "Error: odd" in capsys.readouterr().err


def test_as_json_the_error_is_the_last_thing_said(home):
    words = [sys.executable, "-m", "gpucloud", "compare", "X9000", "--debug", "-o", "json"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert json.loads(done.stderr[done.stderr.index("\n{\n") :])["error"]["exit_code"] == 2
