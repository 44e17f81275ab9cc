"""`gpucloud init`: what it writes, what it leaves alone, and how it says no."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from gpucloud.cli.app import main

SHELF = Path(__file__).parents[2] / "templates" / "tasks"
DEMO_FILES = {"NOTICE", "digits.csv.gz", "gpucloud.yaml", "train.py"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("GPUCLOUD_TEMPLATE_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def error_of(capsys) -> dict:
    return json.loads(capsys.readouterr().err)["error"]


def test_without_a_name_it_is_the_reference(folder, capsys):
    assert main(["init"]) == 0
    assert (folder / "gpucloud.yaml").read_bytes() == (SHELF / "reference.yaml").read_bytes()
    assert stat.S_IMODE((folder / "gpucloud.yaml").stat().st_mode) == 0o644
    assert names_in(folder) == ["gpucloud.yaml"]
    assert "created" in capsys.readouterr().out


def test_a_folder_template_comes_whole_into_a_new_folder_with_a_blank(folder, capsys):
    assert main(["init", "demo", "--into", "my work/a", "-o", "json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert (body["version"], body["kind"], body["template"], body["dry_run"]) == (1, "init", "demo", False)
    assert {(Path(item["path"]).name, item["action"]) for item in body["files"]} == {
        (name, "created") for name in DEMO_FILES
    }
    for name in DEMO_FILES:
        assert (folder / "my work" / "a" / name).read_bytes() == (SHELF / "demo" / name).read_bytes()


def test_what_is_there_is_never_overwritten_and_nothing_is_written_by_halves(folder, capsys):
    (folder / "train.py").write_text("mine")
    assert main(["init", "demo", "-o", "json"]) == 8
    error = error_of(capsys)
    assert error["code"] == "state_conflict" and "train.py" in error["message"] and "--force" in error["hint"]
    assert names_in(folder) == ["train.py"] and (folder / "train.py").read_text() == "mine"


def test_force_overwrites_and_a_second_time_changes_nothing(folder, capsys):
    (folder / "train.py").write_text("mine")
    assert main(["init", "demo", "--force", "-o", "json"]) == 0
    first = json.loads(capsys.readouterr().out)["files"]
    assert {item["action"] for item in first if item["path"] == "train.py"} == {"overwritten"}
    assert main(["init", "demo", "-o", "json"]) == 0
    assert {item["action"] for item in json.loads(capsys.readouterr().out)["files"]} == {"unchanged"}


def test_force_replaces_a_link_and_not_what_it_points_to(folder):
    (folder / "precious").write_text("keep")
    (folder / "gpucloud.yaml").symlink_to(folder / "precious")
    assert main(["init"]) == 8
    assert main(["init", "--force"]) == 0
    assert (folder / "precious").read_text() == "keep" and not (folder / "gpucloud.yaml").is_symlink()


def test_a_dangling_link_is_in_the_way_too(folder):
    (folder / "gpucloud.yaml").symlink_to(folder / "nowhere")
    assert main(["init"]) == 8
    assert not (folder / "nowhere").exists()


def test_a_folder_in_the_way_is_a_sentence(folder, capsys):
    (folder / "gpucloud.yaml").mkdir()
    assert main(["init", "--force"]) == 8
    assert "is a folder" in capsys.readouterr().err


def test_into_a_file_is_a_sentence(folder, capsys):
    (folder / "file").write_text("")
    assert main(["init", "--into", "file", "-o", "json"]) == 2
    assert "is a file" in error_of(capsys)["message"]


def test_dry_run_writes_nothing(folder, capsys):
    assert main(["init", "demo", "--into", "new", "--dry-run"]) == 0
    assert names_in(folder) == [] and "Nothing was written" in capsys.readouterr().out


def test_an_unknown_template_gets_the_nearest(capsys):
    assert main(["init", "demmo", "-o", "json"]) == 2
    error = error_of(capsys)
    assert error["code"] == "usage" and "'demo'" in error["hint"] and "reference" in error["hint"]


@pytest.mark.parametrize("name", ["../demo", "demo/..", ".", "/", ""])
def test_a_path_is_no_template_name(folder, name):
    assert main(["init", name]) == 2
    assert names_in(folder) == []


def test_the_list_names_every_template_and_what_it_is(capsys):
    assert main(["init", "--list", "-o", "json"]) == 0
    listed = {item["name"]: item for item in json.loads(capsys.readouterr().out)["templates"]}
    assert set(listed) == {path.stem for path in SHELF.iterdir()} >= {"demo", "reference", "pytorch", "resume"}
    assert set(listed["demo"]["files"]) == DEMO_FILES and all(item["about"] for item in listed.values())


def test_ones_own_templates_are_found_and_a_missing_folder_is_a_sentence(folder, capsys, monkeypatch):
    own = folder / "own" / "tasks" / "llm"
    own.mkdir(parents=True)
    (own / "gpucloud.yaml").write_text("# Fine-tune. More.\nname: llm\n")
    (own / "__pycache__").mkdir()
    (own / "__pycache__" / "x.pyc").write_text("")
    monkeypatch.setenv("GPUCLOUD_TEMPLATE_DIR", str(folder / "own"))
    assert main(["init", "--list", "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["templates"]
    assert listed == [{"name": "llm", "about": "Fine-tune", "files": ["gpucloud.yaml"]}]
    monkeypatch.setenv("GPUCLOUD_TEMPLATE_DIR", str(folder / "missing"))
    assert main(["init", "-o", "json"]) == 2
    assert "GPUCLOUD_TEMPLATE_DIR" in error_of(capsys)["hint"]


def test_a_full_or_closed_folder_leaves_no_scraps(folder, monkeypatch):
    def refuse(self, target):
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    assert main(["init"]) == 1
    assert names_in(folder) == []
