"""Every test has a home of its own and no cloud of the user's; whatever it starts has ended when the suite ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import settings

from tests.order import in_pieces

# The suite tries the same examples everywhere, at any speed of the machine; `make hunt` looks for new ones.
settings.register_profile("suite", derandomize=True, deadline=None, database=None)
settings.register_profile("hunt", deadline=None, max_examples=3000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))

FOREIGN = (
    "AWS_",
    "GOOGLE_",
    "GCLOUD_",
    "CLOUDSDK_",
    "GCE_METADATA_",
    "AZURE_",
    "ARM_",
    "IDENTITY_",
    "IMDS_",
    "MSI_",
    "BOTO_",
    "LAMBDA_",
    "GPUCLOUD_",
    "NO_COLOR",
    "FORCE_COLOR",
)
NOBODY = {  # no credential of the user's is found, and no metadata service is asked whether this is a cloud machine
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_GCE_CHECK": "true",
    "AZURE_TOKEN_CREDENTIALS": "EnvironmentCredential",
}


def pytest_collection_modifyitems(items):
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = in_pieces(items, [item.nodeid for item in items], workers)


@pytest.fixture(autouse=True)
def own_world(monkeypatch, tmp_path_factory, request):
    """`GPUCLOUD_HOME` in a folder of this test, and none of the user's cloud variables."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)
    base = tmp_path_factory.getbasetemp()
    for name, value in {**NOBODY, **nowhere(base / "nobody")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GPUCLOUD_HOME", str(base / f"home-{abs(hash(request.node.nodeid)):x}"))


def nowhere(folder: Path) -> dict[str, str]:
    """Variables that let every SDK look for the user's files where there are none."""
    return {
        "AWS_CONFIG_FILE": str(folder / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        "AZURE_CONFIG_DIR": str(folder / "azure"),
    }


def leftovers(folder: Path) -> list[str]:
    """Command lines of processes that name `folder` (Linux only)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if str(folder) in words:
            found.append(f"{process.name}: {words}")
    return found


def pytest_sessionfinish(session, exitstatus):
    """A process that outlives the tests fails the suite; those that are just ending get two seconds."""
    base = session.config._tmp_path_factory.getbasetemp() if hasattr(session.config, "_tmp_path_factory") else None
    if base is None or not Path("/proc").exists():
        return
    end = time.monotonic() + 2
    while (left := leftovers(base)) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        print("\nprocesses left behind:\n  " + "\n  ".join(left))
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """What tests have to tell even when they pass: `record_property("told", sentence)`."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    told = sorted({words for r in reports for name, words in getattr(r, "user_properties", ()) if name == "told"})
    for sentence in told:
        terminalreporter.write_line(sentence)
