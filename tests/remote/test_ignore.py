"""Ignore rules mean what git means: the same trees, asked of git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpucloud.core.errors import UsageError
from gpucloud.remote.ignore import Ignores
from gpucloud.remote.manifest import scan

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
parts = st.sampled_from(["a", "b", "ab", "a.log", "b.log", "data", "x y", "#h", "!n"])
patterns = st.sampled_from(
    ["a", "b/", "/a", "*.log", "!a.log", "data/", "!data", "a/b", "a/**", "**/b", "/data/*", "!/data/a", "a/*/b",
     "[ab]", "?", "\\!n", "\\#h", "#h", "*", "!*/", "!b.log", "x y", "ab ", "data/**/a", "/*", "!/ab"]
)  # fmt: skip
files = st.lists(st.lists(parts, min_size=1, max_size=3), min_size=1, max_size=10)


def make(root: Path, names: list[list[str]], rules: dict[str, list[str]]) -> None:
    for name in names:
        path = root.joinpath(*name)
        if not any(above.is_file() for above in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
    for folder, lines in rules.items():
        if (root / folder).is_dir():
            (root / folder / ".gitignore").write_text("\n".join(lines) + "\n")


def kept_by_us(root: Path) -> set[str]:
    ignores = Ignores(root)
    return {one.path for one in scan(str(root), ignores, git_folder=False).entries if one.kind == "f"}


def kept_by_git(root: Path) -> set[str]:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for words in (["init", "-q"], ["ls-files", "-z", "--others", "--exclude-standard"]):
        listed = subprocess.run(["git", *words], cwd=root, env=environment, capture_output=True, check=True)
    return {name.decode() for name in listed.stdout.split(b"\0") if name}


@needs_git
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(files, st.dictionaries(st.sampled_from(["", "a", "data", "a/b"]), st.lists(patterns, max_size=4), max_size=3))
def test_git_keeps_the_same_files(tmp_path_factory, names, rules):
    root = tmp_path_factory.mktemp("tree")
    make(root, names, rules)
    assert kept_by_us(root) == kept_by_git(root)


def test_the_strongest_rule_wins(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("sub/model", "sub/other", "sub/never"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub" / ".gitignore").write_text("*\n!.gitignore\n")
    (tmp_path / ".gpucloudignore").write_text("!/sub/model\n!/sub/never\n")
    ignores = Ignores(tmp_path, ["never"])
    kept = [one.path for one in scan(str(tmp_path), ignores).entries]
    assert kept == [".gpucloudignore", "sub", "sub/.gitignore", "sub/model"]


def test_a_folder_inside_a_repository_heeds_the_rules_above(tmp_path):
    (tmp_path / ".git" / "info").mkdir(parents=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("private\n")
    (tmp_path / ".gitignore").write_text("*.ckpt\n/train/data\n")
    train = tmp_path / "train"
    train.mkdir()
    for name in ("a.ckpt", "data", "private", "code.py"):
        (train / name).write_text("x")
    assert kept_by_us(train) == {"code.py"}


def test_names_only_on_the_other_side_are_judged_too(tmp_path):
    (tmp_path / ".gitignore").write_text("logs/\n*.pt\n")
    ignores = Ignores(tmp_path)
    scan(str(tmp_path), ignores)
    assert ignores.out("logs/deep/er/x", False) and ignores.out("logs", True) and ignores.out("there/m.pt", False)
    assert not ignores.out("there/code.py", False) and not ignores.out("logs", False)


def test_an_exclude_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="--exclude"):
        Ignores(tmp_path, ["!"])
