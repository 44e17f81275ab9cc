"""Runs a page's console sessions as a reader would, and writes what they print under each command.

python -m tools.readme_tour [PAGE...]     README.md and the tutorial, if none is named

A test runs the same sessions and compares the shape of the output, so the page cannot say what does not happen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial.md")
SESSION = re.compile(r"(```console\n)(.*?)(```)", re.DOTALL)
STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
SHOWN_ON = re.compile(r"(?<=prices as they stood on )\d{4}-\d\d-\d\d")
LONGEST_S = 120
WIDTH = "118"  # columns of the page
Shell = Callable[[str], "subprocess.CompletedProcess[str]"]

# Prices age, and a page does not: `compare`, `recommend` and `up` count ages from the day that the page names.
MAIN = """
import sys
from datetime import date
class Then(date):
    today = classmethod(lambda cls: cls.fromisoformat("{day}"))
if sys.argv[1] in ("compare", "recommend", "up"):
    import gpucloud.catalog.catalog
    gpucloud.catalog.catalog.date = Then
from gpucloud.__main__ import main
main()
"""


def steps(page: str) -> list[tuple[str, list[str]]]:
    """Every command of the page with the lines shown under it, blank ones left out."""
    found = [step for _, session, _ in SESSION.findall(page) for step in STEP.findall(session)]
    return [(command, [line for line in output.splitlines() if line.strip()]) for command, output in found]


def reader(place: Path, day: str) -> Shell:
    """Runs one command line in an empty folder of `place`, with a home of its own and no GPU."""
    folder, programs = place / "digits", place / "bin"
    folder.mkdir()
    programs.mkdir()
    (programs / "main.py").write_text(MAIN.format(day=day))
    _program(programs / "gpucloud", f'exec "{sys.executable}" "{programs}/main.py" "$@"')
    _program(programs / "nvidia-smi", "exit 1")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GPUCLOUD_")}
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    ours = {"PATH": path, "PYTHONPATH": str(ROOT), "GPUCLOUD_HOME": str(place / "home"), "COLUMNS": WIDTH}
    environment = {**kept, **ours}

    def run(command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_S,
        )

    return run


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def refilled(page: str, run: Shell) -> str:
    """The page with the output of today. SystemExit when a command fails: a page shows what works."""

    def step(command: str) -> str:
        done = run(command)
        if done.returncode != 0:
            raise SystemExit(f"$ {command}\n{done.stdout}ended with {done.returncode}; the page is left as it was.")
        return f"$ {command}\n{done.stdout.rstrip()}\n" if done.stdout.strip() else f"$ {command}\n"

    def session(match: re.Match[str]) -> str:
        return match[1] + "".join(step(command) for command, _ in STEP.findall(match[2])) + match[3]

    return SESSION.sub(session, page)


def refill(path: Path) -> None:
    """Rewrite one page in place, in a home and folder of its own."""
    today = date.today().isoformat()
    page = SHOWN_ON.sub(today, path.read_text())
    with tempfile.TemporaryDirectory() as place:
        run = reader(Path(place), today)
        try:
            page = refilled(page, run)
        finally:
            run("gpucloud down --all --yes")
    path.write_text(page)
    print(f"{path.name}: {len(steps(page))} commands")


def main() -> None:
    """Rewrite the pages in place."""
    for path in [Path(name) for name in sys.argv[1:]] or PAGES:
        refill(path)


if __name__ == "__main__":
    main()
