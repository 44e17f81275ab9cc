"""Reports in a real browser: what is clicked, filtered and sorted there is what the command told."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from gpucloud.cli.inside import printed
from gpucloud.core.errors import GpucloudError
from tests.browser.conftest import WORDS, Made, gpucloud, needs_chromium

pytestmark = needs_chromium
SIZE_LIMIT = 3_000_000


def rows_in_sight(page: Any) -> list[list[str]]:
    return page.eval_on_selector_all(
        "tbody tr:not(.space)", "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
    )


def column(page: Any, title: str) -> int:
    titles = page.eval_on_selector_all("thead th", "cells => cells.map(cell => cell.textContent)")
    return int(titles.index(title))


def shown_count(page: Any) -> str:
    return str(page.inner_text("#count"))


def csv_rows(page: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page.evaluate("window.gpucloudCsv()"))))


def test_the_table_holds_what_the_command_told(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    made = report("compare")
    page = opened(made.file)
    offers = made.told["offers"]
    assert shown_count(page) == f"{len(offers):,} rows"
    rows = csv_rows(page)
    keys = ("cloud", "instance_type", "accelerator", "region", "zone", "market", "observed_on", "source", "status")
    told = sorted(
        (*(offer[key] or "" for key in keys), offer["usd_per_hour"]) for offer in offers if offer["usd_per_hour"]
    )
    read = sorted((*(row[key] for key in keys), float(row["usd_per_hour"])) for row in rows if row["usd_per_hour"])
    assert read == told


def test_filters_keep_what_fits_and_clearing_brings_all_back(
    report: Callable[[str], Made], opened: Callable[..., Any]
) -> None:
    made = report("compare")
    page = opened(made.file)
    page.select_option("select[name=cloud]", "gcp")
    page.select_option("select[name=market]", "spot")
    page.fill("input[name=gpu_memory_gib-least]", "80")
    page.fill("input[name=usd_per_hour-most]", "20")
    fitting = [
        offer for offer in made.told["offers"]
        if offer["cloud"] == "gcp" and offer["market"] == "spot" and (offer["gpu_memory_gib"] or 0) >= 80
        and offer["usd_per_hour"] is not None and offer["usd_per_hour"] <= 20
    ]  # fmt: skip
    assert fitting and shown_count(page) == f"{len(fitting):,} of {len(made.told['offers']):,} rows"
    assert {row["cloud"] for row in csv_rows(page)} == {"gcp"} and len(csv_rows(page)) == len(fitting)
    assert page.is_hidden("#none")
    page.fill("input[name=usd_per_hour-most]", "0.0001")
    assert page.is_visible("#none") and shown_count(page).startswith("0 of ")
    page.click("#reset")
    assert shown_count(page) == f"{len(made.told['offers']):,} rows"


def test_the_address_keeps_filters_and_order(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    made = report("recommend")
    page = opened(made.file, "#kind=own&usd-most=1e9&sort=-hours")
    own = sorted((option["hours"] for option in made.told["options"] if option["kind"] == "own"), reverse=True)
    assert [float(row["hours"]) for row in csv_rows(page)] == own
    page.select_option("select[name=kind]", "rent")
    page.fill("input[name=usd-most]", "")
    assert page.evaluate("location.hash") == "#kind=rent&sort=-hours"
    page.click("#reset")
    assert shown_count(page) == f"{len(made.told['options']):,} rows"


def test_every_column_sorts_both_ways(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("recommend").file)
    columns = {
        one["title"]: one for one in page.evaluate("JSON.parse(document.getElementById('data').textContent)")["columns"]
    }
    clicked = page.evaluate(CLICK_ALL)
    assert len(clicked) == 2 * page.locator("thead th").count() > 20
    for title, way, text in clicked:
        column_of = columns[title]
        cells = [row[column_of["key"]] for row in csv.DictReader(io.StringIO(text))]
        filled = [cell for cell in cells if cell]
        assert cells[: len(filled)] == filled, f"{title}: what is unknown comes last"
        if column_of["number"]:
            assert [float(cell) for cell in filled] == sorted(map(float, filled), reverse=way == "descending"), title
        else:
            assert [cell for cell, _ in groupby(filled)] == list(dict.fromkeys(filled)), title


CLICK_ALL = """[...document.querySelectorAll("thead th")].flatMap((head) => [1, 2].map(() => {
    head.querySelector("button").click();
    return [head.textContent, head.getAttribute("aria-sort"), window.gpucloudCsv()];
}))"""


def test_the_arrow_keys_tell_all_of_a_row(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    made = report("recommend")
    page = opened(made.file)
    assert page.is_hidden("#details")
    page.focus("#rows")
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    told = page.inner_text("#details")
    row = csv_rows(page)[29]
    assert row["name"] in told and row["speed_source"] in told and row["reasons"] in told
    assert page.locator("tr.picked").get_attribute("aria-rowindex") == "31"
    page.keyboard.press("Escape")
    assert page.is_hidden("#details")


def test_a_chart_is_walked_by_the_arrow_keys(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("recommend").file)
    chart, told = page.locator(".chart").first, page.locator("figure .told").first
    chart.focus()
    page.keyboard.press("ArrowRight")
    first = told.inner_text()
    options = [option for option in report("recommend").told["options"] if option["hours"]]
    fastest = min(options, key=lambda option: option["hours"])
    assert first.startswith(f"1 of {len(options)}. option: ") and "source of the speed: " in first
    assert f"; hours: {fastest['hours']:,.2f}; USD: {fastest['usd']:,.2f};" in first
    page.keyboard.press("ArrowLeft")
    assert told.inner_text() == first, "there is nothing before the first"
    page.keyboard.press("End")
    assert told.inner_text().startswith(f"{len(options)} of {len(options)}.") and page.locator(".here").count() == 1
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert page.inner_text("#details dd >> nth=0") == str(fastest["rank"])
    assert page.evaluate("document.activeElement.id") == "rows" and page.locator("tr.picked").is_visible()
    page.keyboard.press("Escape")
    page.locator(".chart").nth(1).focus()
    assert told.text_content() == "" and page.locator(".here").count() == 0
    page.keyboard.press("ArrowDown")
    assert page.locator("figure .told").nth(1).inner_text().startswith("1 of ")


def test_a_click_on_a_mark_shows_its_row(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("recommend").file)
    mark = page.locator(".chart [aria-roledescription=point]").first
    rank = mark.evaluate("mark => mark.__data__.datum.rank")
    mark.click(force=True)
    assert page.inner_text("#details dd >> nth=0") == str(rank)


def test_sorting_by_mouse_and_by_keyboard(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    made = report("compare")
    page = opened(made.file)
    prices = sorted(offer["usd_per_hour"] for offer in made.told["offers"] if offer["usd_per_hour"])
    head = page.locator("thead th", has_text="USD/h").first
    assert head.get_attribute("aria-sort") == "ascending"
    assert float(csv_rows(page)[0]["usd_per_hour"]) == prices[0]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert float(csv_rows(page)[0]["usd_per_hour"]) == prices[-1]
    shown = float(rows_in_sight(page)[0][column(page, "USD/h")].replace(",", ""))
    assert shown == pytest.approx(prices[-1], rel=1e-3)
    page.locator("thead th button", has_text="Cloud").focus()
    page.keyboard.press("Enter")
    assert page.locator("thead th", has_text="Cloud").get_attribute("aria-sort") == "ascending"
    assert head.get_attribute("aria-sort") == "none"
    assert rows_in_sight(page)[0][0] == min(offer["cloud"] for offer in made.told["offers"])


def test_a_long_table_scrolls_to_its_last_row(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("compare").file)
    assert len(rows_in_sight(page)) < 100
    page.eval_on_selector("#rows", "frame => { frame.scrollTop = frame.scrollHeight; }")
    last = csv_rows(page)[-1]
    name = "[...document.querySelectorAll('tbody tr:not(.space)')].pop().cells[1].textContent"
    page.wait_for_function(f"{name} === {json.dumps(last['instance_type'])}")
    assert page.locator("tbody tr:not(.space)").last.get_attribute("aria-rowindex") == str(len(csv_rows(page)) + 1)


def test_a_figure_tells_its_source_and_date(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("compare").file)
    first = csv_rows(page)[0]
    told = page.locator("tbody tr:not(.space)").first.locator("td").nth(column(page, "USD/h")).get_attribute("title")
    assert f"source: {first['source']}" in told and f"Price of: {first['observed_on']}" in told


def test_the_options_of_recommend_and_their_charts(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    made = report("recommend")
    page = opened(made.file)
    options = made.told["options"]
    rows = csv_rows(page)
    facts = page.inner_text(".facts")
    assert f"{made.told['picks']['cheapest']['usd']:,.2f} USD" in facts
    assert [float(row["usd"]) for row in rows] == [option["usd"] for option in options]
    assert [row["name"] for row in rows][:1] == [options[0]["system"] or rows[0]["name"]]
    titles = page.eval_on_selector_all("figcaption", "all => all.map(one => one.firstChild.textContent)")
    assert titles == ["Cost against time", "The cheapest ways", "Rent or own"]
    points = page.locator("figure").first.locator("svg .mark-symbol.role-mark path").count()
    assert points == len(options)
    crossings = page.locator("figure").nth(2).locator("svg .mark-symbol.role-mark path").count()
    assert 1 <= crossings <= 5
    page.locator("figure").first.locator("svg .mark-symbol.role-mark path").first.hover(force=True)
    page.wait_for_selector("#vg-tooltip-element.visible", timeout=5000)
    assert "source of the speed" in page.inner_text("#vg-tooltip-element")


@pytest.mark.parametrize(("kind", "scheme"), [("compare", "light"), ("recommend", "dark")])
def test_nothing_serious_for_those_who_see_or_hear_it_otherwise(
    report: Callable[[str], Made], opened: Callable[..., Any], kind: str, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = opened(report(kind).file, color_scheme=scheme)
    page.click("tbody tr:not(.space) td")
    found = Axe().run(page).response["violations"]
    assert [(item["id"], item["impact"]) for item in found if item["impact"] in ("serious", "critical")] == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(13, 17, 23)"}[scheme]


def test_on_paper_the_rows_stand_below_each_other(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("recommend").file)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert len(rows_in_sight(page)) == len(csv_rows(page))
    assert not page.locator("#filters").is_visible()
    wide = "[...document.querySelectorAll('figure')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    assert page.evaluate(wide) == 0


HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror=window.hacked=1>",
    '=HYPERLINK("http://x")',
    "%%SCRIPT%%",
    "javascript:window.hacked=1",
)


def test_hostile_words_are_words(tmp_path: Path, opened: Callable[..., Any]) -> None:
    folder = tmp_path / "home" / "catalog"
    (folder / "offers").mkdir(parents=True)
    quoted = ['"' + words.replace('"', '""') + '"' for words in HOSTILE]
    head = "cloud,instance_type,accelerator,accelerator_count,vcpus,memory_gib\n"
    (folder / "instance_types.csv").write_text(
        head + "".join(f"evil,{word},T4,1,8,{n + 1}\n" for n, word in enumerate(quoted))
    )
    head = "instance_type,region,market,usd_per_hour,price_kind,availability,observed_on,source\n"
    lines = [f"{word},{word},on-demand,0.0{n + 1},own,open,2026-11-24,own\n" for n, word in enumerate(quoted)]
    (folder / "offers" / "evil.csv").write_text(head + "".join(lines))
    file = tmp_path / "evil.html"
    done = gpucloud(tmp_path / "home", "report", "compare", "--cloud", "evil", "--all-regions", "-f", str(file))
    assert done.returncode == 0, done.stderr
    page = opened(file)
    assert {row[1] for row in rows_in_sight(page)} == set(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert [row["instance_type"] for row in csv_rows(page) if "HYPERLINK" in row["instance_type"]] == ["'" + HOSTILE[2]]


def test_twenty_thousand_offers_are_a_small_file(report: Callable[[str], Made]) -> None:
    made = report("compare")
    per_offer = made.file.stat().st_size - 1_000_000
    assert made.file.stat().st_size < SIZE_LIMIT and per_offer / len(made.told["offers"]) < 100


def test_copy_puts_csv_on_the_clipboard(report: Callable[[str], Made], opened: Callable[..., Any]) -> None:
    page = opened(report("recommend").file, permissions=["clipboard-read", "clipboard-write"])
    page.select_option("select[name=kind]", "own")
    page.click("#copy")
    page.wait_for_function("document.getElementById('copy').textContent === 'Copied'")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("report", "compare", "H1000"), 2, "H1000"),
        (("report", "compare", "-f", "/nonexistent/x.html"), 2, "cannot be written"),
        (("report", "compare", "-f"), 2, "needs a file"),
        (("report", "compare", "--max-usd-per-hour", "0.000001"), 3, ""),
        (("report", "cost"), 3, "nothing to show"),
        (("report", "compare", "--plot", "x.doc"), 2, ".svg"),
        (("report", "compare", "--plot", "x.svg", "--picture", "own"), 2, "gpus, work, history"),
        (("report", "compare", "T4", "--plot", "x.svg", "--picture", "work"), 3, "--model"),
        (("report", "compare", "--picture", "history"), 2, "--plot"),
        (("report", "compare", "-f", "offers.pdf"), 2, "offers.html"),
        (("report", "compare", "T4", "-f", "folder.html"), 2, "Is a directory"),
    ],
)
def test_what_goes_wrong_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, says: str
) -> None:
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(GpucloudError) as told:
        printed(words)
    assert told.value.exit_code == code and says in f"{told.value.message} {told.value.hint}"
    assert {one.name for one in tmp_path.iterdir()} <= {"home", "folder.html"}, "nothing half written"


def test_an_unknown_option_is_refused_as_the_command_does(tmp_path: Path) -> None:
    done = gpucloud(tmp_path / "home", "report", "compare", "--cloud", "aws", "--gpu")
    assert done.returncode == 2 and "No such option" in done.stderr and "Traceback" not in done.stderr


def test_every_picture_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("GPUCLOUD_HOME", str(tmp_path / "home"))
    says = {
        ("compare", "gpus"): "USD per GPU and hour", ("compare", "work"): "USD per 1e6 samples",
        ("compare", "history"): "USD per hour, whole machine", ("recommend", "time"): "Pareto front",
        ("recommend", "ways"): "USD for the whole work", ("recommend", "own"): "pays above",
    }  # fmt: skip
    asked = {"compare": ["H100:8", "--model", "resnet50"], "recommend": WORDS["recommend"][1:]}
    for (command, name), sentence in says.items():
        file = tmp_path / f"{name}.svg"
        printed(["report", command, *asked[command], "--plot", str(file), "--picture", name])
        assert sentence in file.read_text()
