"""What people install: sdist and wheel build, the wheel works alone, and carries exactly the tracked data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The python of a fresh environment: our wheel in it, the libraries of this one behind it."""
    place = tmp_path_factory.mktemp("fresh env")
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    site = Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    wheel = next(built.glob("*.whl"))
    target = ["--no-deps", "--no-index", "--no-compile", "--quiet", "--target", str(site)]
    subprocess.run([sys.executable, "-m", "pip", "install", *target, str(wheel)], check=True)
    (site / "behind.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def tracked(folder: str) -> set[str]:
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", folder], capture_output=True, text=True)
    if listed.returncode or not listed.stdout:
        pytest.skip("not a git checkout: what is tracked cannot be known")
    return set(listed.stdout.split())


@pytest.mark.parametrize("folder", ["catalogs", "templates"])
def test_the_wheel_carries_the_tracked_data(built, folder):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {
            name.removeprefix("gpucloud/_data/")
            for name in wheel.namelist()
            if name.startswith(f"gpucloud/_data/{folder}/")
        }
        assert names == tracked(folder)
        for name in names:
            assert wheel.read(f"gpucloud/_data/{name}") == (ROOT / name).read_bytes()


def test_the_wheel_says_that_its_functions_are_typed(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        assert "gpucloud/py.typed" in wheel.namelist()


def test_the_sdist_can_be_built_from(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert {"pyproject.toml", "README.md", "Makefile", "catalogs/accelerators.csv", "gpucloud/cli/app.py"} <= names


def run(python: Path, tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GPUCLOUD_HOME": str(tmp_path / "home")}
    environment.pop("PYTHONPATH", None)
    return subprocess.run(
        [python, "-m", "gpucloud", *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )


def test_the_installed_wheel_is_itself(installed, tmp_path):
    where = subprocess.check_output(
        [installed, "-c", "import gpucloud; print(gpucloud.__file__)"], cwd=tmp_path, text=True
    )
    assert str(ROOT) not in where


def test_the_installed_wheel_compares_and_checks(installed, tmp_path):
    compared = run(installed, tmp_path, "compare", "A100:8", "-o", "json")
    assert compared.returncode == 0, compared.stderr
    assert len(json.loads(compared.stdout)["offers"]) > 5
    checked = run(installed, tmp_path, "catalog", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
