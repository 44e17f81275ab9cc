"""The ready files for GitHub Actions and GitLab CI: valid, and their steps do what they promise, here on `local`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.house.test_manual import command_lines, parse, shell  # noqa: F401  (the fixture)
from tools.readme_tour import Shell

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
AT_A_CLOUD = ("GPUCLOUD_GPU", "GPUCLOUD_REGION")
FAILING = "import pathlib, sys; pathlib.Path('out').mkdir(); pathlib.Path('out/loss').write_text('0.1'); sys.exit(3)"


class Pipeline(NamedTuple):
    """What a file does in the job that trains: its environment, its steps, and the steps that happen always."""

    schema: str
    environ: dict[str, str]
    steps: list[str]
    always: list[str]
    sweep: list[str]


def github() -> Pipeline:
    body = read("ci-github.yml")
    train, sweep = body["jobs"]["train"]["steps"], body["jobs"]["sweep"]["steps"]
    scripts = [(step["run"], step.get("if") == "always()") for step in train if "run" in step]
    return Pipeline(
        "github-workflows",
        body["env"],
        [script for script, always in scripts if not always],
        [script for script, always in scripts if always],
        [step["run"] for step in sweep if "run" in step],
    )


def gitlab() -> Pipeline:
    body = read("ci-gitlab.yml")
    before = body[".gpucloud"]["before_script"]
    train, sweep = body["train"], body["sweep"]
    steps = [*before, *train["script"]]
    return Pipeline("gitlab-ci", body["variables"], steps, train["after_script"], [*before, *sweep["script"]])


def read(name: str) -> Any:
    return yaml.safe_load((HOWTO / name).read_text())


BOTH = pytest.mark.parametrize("pipeline", [github, gitlab])


@BOTH
def test_the_file_is_valid_by_the_published_schema(pipeline):
    page = HOWTO / f"ci-{pipeline.__name__}.yml"
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{pipeline().schema}"]
    done = subprocess.run([*checker, str(page)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@BOTH
def test_every_command_exists_and_every_variable_is_a_field(pipeline):
    from gpucloud.cli.taskfile import from_environment

    told = pipeline()
    for line in [*told.steps, *told.always, *told.sweep]:
        for words in command_lines(line):
            parse(words)
    ours = {name: value for name, value in told.environ.items() if name.startswith("GPUCLOUD_")}
    assert len(from_environment(ours)) == len(ours)
    assert all(isinstance(value, str) for value in told.environ.values()), "a bare number would not be text"


def ours(lines: list[str]) -> Iterator[str]:
    return (line for line in lines if "gpucloud " in line and not line.startswith("pip install"))


@BOTH
def test_a_training_that_fails_fails_the_job_and_leaves_results_and_no_machine(pipeline, shell: Shell):  # noqa: F811
    told = pipeline()
    environ = {name: value for name, value in told.environ.items() if name not in AT_A_CLOUD} | {"CLOUD": "local"}
    exports = "\n".join(f"export {name}='{value}'" for name, value in environ.items())
    exports += "\nexport GITHUB_STEP_SUMMARY=summary.md"
    shell(f'echo "{FAILING}" > train.py')
    (train,) = ours(told.steps)
    done = shell(f"{exports}\n{train}")
    assert done.returncode == 3, done.stdout
    assert shell("cat out/loss").stdout == "0.1"
    for line in ours(told.always):
        after = shell(f"{exports}\n{line}")
        assert after.returncode == 0, after.stdout
        done.stdout += after.stdout
    assert "Total: 0.00 USD" in done.stdout + shell("cat summary.md").stdout
