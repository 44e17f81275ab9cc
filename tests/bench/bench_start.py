"""Start-up: what `--help` and `compare` cost beside `import typer`, and what `run` adds to a command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.bench.report import Row, command, interleaved

ROUNDS = 15


def run() -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="gpucloud bench ") as folder:
        home = {**os.environ, "GPUCLOUD_HOME": str(Path(folder) / "home")}
        return [*_start(home), _memory(home), *_local_run(Path(folder), home)]


def _start(home: dict[str, str]) -> list[Row]:
    here = (sys.executable, "-m", "gpucloud")
    times = interleaved(
        {
            "typer": command(sys.executable, "-c", "import typer"),
            "help": command(*here, "--help", env=home),
            "compare": command(*here, "compare", "A100:8", env=home),
            "estimate": command(*here, "estimate", "energy", "--watts", 300, "--hours", 10, env=home),
            "estimate with a GPU": command(*here, "estimate", "memory", "--params", "7B", "--gpu", "L4", env=home),
        },
        ROUNDS,
    )
    base = times["typer"]
    return [
        Row(
            f"gpucloud {name} : import typer",
            times[name] / base,
            bound,
            detail=f"{times[name] * 1e3:.0f} : {base * 1e3:.0f} ms",
        )
        for name, bound in (("help", 1.6), ("compare", 2.0), ("estimate", 1.6), ("estimate with a GPU", 1.6))
    ]


def _memory(home: dict[str, str]) -> Row:
    """Peak memory of `compare` over the whole catalog."""
    words = ["-m", "gpucloud", "compare", "--all-regions", "-o", "json"]
    code = (
        "import resource, subprocess, sys; "
        f"subprocess.run([sys.executable, *{words!r}], stdout=subprocess.DEVNULL, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    kib = int(subprocess.check_output([sys.executable, "-c", code], env=home, text=True))
    scale = 1024 * 1024 if sys.platform == "darwin" else 1024
    return Row("peak memory of compare, all offers", kib / scale, 60, "M", " ".join(words[2:]))


def _local_run(folder: Path, home: dict[str, str]) -> list[Row]:
    """Wall time of `run` on a warm local machine beside the command itself."""
    here = (sys.executable, "-m", "gpucloud")
    work = folder / "work"
    work.mkdir()
    (work / "task.py").write_text("import time; time.sleep(0.2)\n")
    subprocess.run(
        [*here, "up", "bench", "--cloud", "local", "--yes"], env=home, cwd=work, check=True, capture_output=True
    )
    try:
        times = interleaved(
            {
                "bare": command(sys.executable, "task.py", cwd=work),
                "run": command(*here, "run", "python", "task.py", env=home, cwd=work),
            },
            5,
        )
    finally:
        subprocess.run([*here, "down", "bench", "--yes"], env=home, cwd=work, check=True, capture_output=True)
    added = times["run"] - times["bare"]
    return [Row("run on a warm local machine adds", added, 1.0, "s", f"{times['run']:.2f} : {times['bare']:.2f} s")]
