"""The set-up of a run: repeated exactly when its text or inputs changed."""

from __future__ import annotations

import subprocess

from gpucloud.core.environment import plan_setup, within


def test_nothing_to_do_has_no_key():
    assert plan_setup("  \n", None, "gpucloud/x").key == ""


def test_the_key_changes_with_every_input():
    plans = [
        plan_setup("make deps", None, "b"),
        plan_setup("make deps2", None, "b"),
        plan_setup("make deps", ("requirements.txt", b"numpy"), "b"),
        plan_setup("make deps", ("requirements.txt", b"numpy==2"), "b"),
    ]
    assert len({plan.key for plan in plans}) == 4
    assert plan_setup("make deps", ("requirements.txt", b"numpy"), "b") == plans[2]


def test_the_environment_lies_outside_the_synced_folder_and_is_kept_by_its_hash():
    one, two = (plan_setup(text, ("requirements.txt", b"numpy"), "gpucloud/x") for text in ("", "echo"))
    assert one.env_dir == two.env_dir and one.env_dir.startswith("gpucloud/x/env/")


def test_the_command_runs_within_the_environment(tmp_path):
    (tmp_path / "e/bin").mkdir(parents=True)
    (tmp_path / "e/bin/hello").write_text("#!/bin/sh\necho found $1 in $VIRTUAL_ENV\n")
    (tmp_path / "e/bin/hello").chmod(0o755)
    done = subprocess.run(
        [*within("e"), "hello", "a b"], env={"HOME": str(tmp_path), "PATH": "/bin"}, capture_output=True, text=True
    )
    assert done.stdout == f"found a b in {tmp_path}/e\n"
    assert within("") == ()


def test_the_setup_text_is_shell_that_stops_at_the_first_failure(tmp_path):
    plan = plan_setup("echo reached", ("needs it.txt", b"x"), "base dir")
    environment = {"HOME": str(tmp_path), "PATH": "/nowhere"}
    done = subprocess.run(["/bin/sh", "-c", plan.text], env=environment, capture_output=True, text=True)
    assert done.returncode != 0 and "reached" not in done.stdout
    complete = tmp_path / plan.env_dir
    complete.mkdir(parents=True)
    (complete / ".complete").touch()
    again = subprocess.run(["/bin/sh", "-c", plan.text], env=environment, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (0, "reached\n")
    text = plan_setup("false\necho reached", ("needs it.txt", b"x"), "base dir").text
    failed = subprocess.run(["/bin/sh", "-c", text], env=environment, capture_output=True, text=True)
    assert (failed.returncode, failed.stdout) == (1, "")
