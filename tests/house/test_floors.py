"""The house stays in order: imports go downwards, edges do not know each other, every room says what it is for."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "gpucloud"
FLOOR = {
    "core": 1,
    "catalog": 2,
    "prices": 2,
    "providers": 2,
    "remote": 2,
    "state": 2,
    "render": 2,
    "flows": 3,
    "hostside": 3,
    "cli": 4,
}
FILES = sorted(ROOT.rglob("*.py"))
UNIVERSAL = {"gpucloud.__version__"}


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else ""


def imports_of(path: Path) -> set[str]:
    """Absolute names of everything the file imports, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_downwards(path):
    room = room_of(path)
    if not room:
        return
    for name in imports_of(path) - UNIVERSAL:
        if not name.startswith("gpucloud."):
            continue
        other = name.split(".")[1]
        assert other in FLOOR, f"{path} imports {name}, which is in no room"
        assert other == room or FLOOR[other] < FLOOR[room], f"{room} (floor {FLOOR[room]}) may not import {name}"


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) == "core"], ids=lambda path: path.name)
def test_core_is_pure(path):
    effects = {"os", "time", "socket", "subprocess", "pathlib", "sqlite3", "random", "secrets", "shutil", "threading"}
    for name in imports_of(path):
        top = name.split(".")[0]
        assert top in sys.stdlib_module_names or top == "gpucloud", f"core imports {name}"
        assert top not in effects, f"core has effects through {name}"
    calls = {
        n.func.id
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
    }
    assert not calls & {"print", "open", "input"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} opens without a docstring"


def test_a_file_in_the_wrong_place_would_be_seen(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("def f():\n    from gpucloud.cli.app import main\n")
    assert "gpucloud.cli.app.main" in imports_of(bad)
