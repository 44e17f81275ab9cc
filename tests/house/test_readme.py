"""What the README shows is what happens: its commands are run in order, its output and its promises compared.

Figures, ids and times differ from one day and machine to the next, so they are compared by their place only;
everything else has to be the same. `python -m tools.readme_tour` writes the output into the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gpucloud.core import errors
from gpucloud.providers.registry import DRIVERS, has_driver, known_clouds
from tools.readme_tour import SHOWN_ON, reader, steps

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
UNITS = re.compile(r"(?:<n> ?(?:d|h|m|s|ms)\b ?)+")


def shape(line: str) -> str:
    """The line with everything taken out that may differ: figures, durations, ids, widths of columns."""
    line = re.sub(r"-{3,}", "", line)
    line = re.sub(r"\b(today|tomorrow)\b", "<day>", line)
    line = re.sub(r"\b(demo|train)-[a-z2-7]{8}\b", r"\1-<id>", line)
    line = re.sub(r"\d[\d,]*(?:\.\d+)?", "<n>", line)
    return " ".join(UNITS.sub("<time> ", line).split())


def machines(home: Path) -> list[str]:
    """The folders of local machines that are left in a home."""
    return [path.name for path in (home / "local").glob("[!.]*")]


def processes_of(folder: Path) -> list[str]:
    """The command lines that name a folder, where the system lists them as files."""
    lines = []
    for listed in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(listed.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:  # ended meanwhile
            continue
    return [line for line in lines if str(folder) in line]


@pytest.fixture
def shell(tmp_path):
    """The page's reader; afterwards no machine may be left."""
    place = tmp_path / "with blanks"
    place.mkdir()
    run = reader(place, SHOWN_ON.search(README).group())
    yield run
    run("gpucloud down --all --yes")
    assert machines(place / "home") == [] and processes_of(place) == []


def test_the_tour_happens_as_it_is_shown(shell):
    assert len(steps(README)) >= 10
    for command, expected in steps(README):
        done = shell(command)
        assert done.returncode == 0, f"$ {command}\n{done.stdout}"
        actual = [shape(line) for line in done.stdout.splitlines()]
        wanted = [shape(line) for line in expected if shape(line)]
        assert [line for line in actual if line] == wanted, f"$ {command}\n{done.stdout}"


def test_the_two_commands_are_there():
    for target in ("demo", "test"):
        assert f"make {target}" in README
        done = subprocess.run(["make", "-n", target, "VENV=a b"], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_the_demo_shows_the_whole_job_and_leaves_nothing(tmp_path):
    folder = tmp_path / "a demo"
    command = ["sh", str(ROOT / "tools" / "demo.sh"), sys.prefix, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GPUCLOUD_GPU": "nonsense:that:must:not:matter"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stdout + done.stderr
    typed = re.findall(r"^\$ gpucloud (\w+)", done.stdout, re.MULTILINE)
    assert typed == ["compare", "init", "up", "run", "ps", "logs", "pull", "cost", "down", "ls", "gc"]
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", done.stdout)][:15]
    assert losses[-1] < losses[0] / 10
    assert re.search(r"Done in \d+ s: test accuracy 9\d\.\d%, cost 0\.00\d\d USD", done.stdout)
    assert sorted(path.name for path in (folder / "digits" / "out").iterdir()) == ["metrics.json", "model.npz"]
    assert machines(folder / "home") == [] and processes_of(folder) == []


def test_a_demo_that_fails_takes_its_machine_down(tmp_path):
    programs, folder = tmp_path / "bin", tmp_path / "demo"
    programs.mkdir()
    (programs / "python").write_text("#!/bin/sh\nexit 7\n")  # the training fails
    (programs / "python").chmod(0o755)
    (programs / "gpucloud").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gpucloud "$@"\n')
    (programs / "gpucloud").chmod(0o755)
    done = subprocess.run(
        ["sh", str(ROOT / "tools" / "demo.sh"), str(tmp_path), str(folder)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert "cut short" in done.stdout
    assert machines(folder / "home") == [] and processes_of(folder) == []


def test_a_demo_leaves_a_folder_alone_that_is_not_its_own(tmp_path):
    (tmp_path / "precious").write_text("keep")
    command = ["sh", str(ROOT / "tools" / "demo.sh"), sys.prefix, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "left alone" in done.stderr
    assert (tmp_path / "precious").read_text() == "keep"


def test_the_clouds_with_a_driver_are_those_that_the_page_names():
    named = re.search(r"Drivers in this version: (.*?)\.\n", README).group(1)
    drivers = {name for name in known_clouds() if has_driver(DRIVERS[name])}
    assert set(re.findall(r"`(\w+)`", named)) == drivers


def test_it_counts_the_clouds_right():
    assert f"at {len(list((ROOT / 'catalogs' / 'offers').glob('*.csv')))} clouds" in README


def test_every_exit_code_is_in_the_table():
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert table == {0, 125} | {item.exit_code for item in classes}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_that_a_page_names_exist(page):
    top = r"gpucloud|catalogs|templates|tests|tools|docs"
    rooms = r"core|catalog|providers|remote|state|render|flows|hostside|cli"
    for name in re.findall(rf"`((?:{top}|{rooms})/[\w./-]+)`", page.read_text()):
        assert (ROOT / name).exists() or (ROOT / "gpucloud" / name).exists(), f"{page.name} names {name}"
