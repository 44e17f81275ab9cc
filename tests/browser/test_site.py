"""The manual as a site: it builds without a complaint, asks no foreign host, and works in a browser."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.browser.conftest import needs_chromium

ROOT = Path(__file__).parents[2]
PHONE = {"width": 390, "height": 800}
WIDEST = ("howto/first-machine", "clouds/aws", "comparison")  # tables


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("NOT CHECKED: the site was not built, mkdocs is missing (pip install '.[docs]')")
    place = tmp_path_factory.mktemp("manual") / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return place


@pytest.fixture
def address(site):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_every_page_is_built_and_asks_no_foreign_host(site):
    built = list(site.rglob("*.html"))
    assert len(built) >= len(list((ROOT / "docs").rglob("*.md")))
    for page in built:
        assert not re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//', page.read_text()), page.name
        assert not re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="(?:https?:)?//', page.read_text()), page.name


@needs_chromium
def test_a_reader_searches_copies_switches_to_dark_and_reads_on_a_phone(address, browser):
    page = browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{address}/tutorial.html")
    session = page.locator(".copied", has=page.locator("code.language-console")).first
    page.evaluate("navigator.clipboard.writeText = (text) => { window.copied = text; }")
    session.get_by_role("button").click()
    page.wait_for_function("window.copied === 'gpucloud compare L4:1 --limit 3\\n'")
    page.get_by_role("link", name="Search").click()
    page.locator("#mkdocs-search-query").press_sequentially("preempted")
    page.locator("#mkdocs-search-results a", has_text="Spot machines").first.wait_for()
    for name, mode in (("tutorial", "dark"), ("404", "light")):
        page.goto(f"{address}/{name}.html")
        page.locator("#theme-menu").click()
        page.locator(f"[data-bs-theme-value={mode}]").click()
        assert page.locator("html").get_attribute("data-bs-theme") == mode
    page.get_by_role("link", name="manual's first page").click()
    page.wait_for_url(f"{address}/index.html")
    page.set_viewport_size(PHONE)
    for name in WIDEST:
        page.goto(f"{address}/{name}.html", wait_until="domcontentloaded")
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    assert errors == []
    page.close()
