"""Debian's Chromium, headless, and the pages of reports in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpucloud.cli.inside import printed

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: reports are not tried in a browser"
)


def gpucloud(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "GPUCLOUD_HOME": str(home), "NO_COLOR": "1", **more}
    command = [sys.executable, "-m", "gpucloud", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300)


@dataclass
class Made:
    """A report, and what the command says with `-o json`."""

    file: Path
    told: dict[str, Any]


WORDS = {
    "compare": ("compare", "--market", "any", "--all-regions"),
    "recommend": ("recommend", "--model", "resnet50", "--work", "90 epochs", "--utilisation", "0.35"),
}


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The report of a command over the shipped catalog, made once."""
    home = tmp_path_factory.mktemp("browser home")
    made: dict[str, Made] = {}

    def make(kind: str) -> Made:
        if kind not in made:
            file = home / f"{kind}.html"
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("GPUCLOUD_HOME", str(home))
                printed(["report", *WORDS[kind], "-f", str(file)])
                told = json.loads(printed([*WORDS[kind], "-o", "json"]))
            made[kind] = Made(file, told)
        return made[kind]

    return make


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a file without network; nothing but that file may be asked for, no script may fail."""
    contexts, faults = [], []

    def open_(file: Path, at: str = "", **settings: Any) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: faults.append(request.url) if request.url.split("#")[0] != file.as_uri() else None,
        )
        page.goto(file.as_uri() + at)
        page.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []
