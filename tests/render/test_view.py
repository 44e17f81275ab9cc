"""The same result as a table, JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.render.view import Column, Section, View, plain, printable, show, table, usd, wrapped

COLUMNS = (
    Column("name", "Name"),
    Column("usd_per_hour", "USD/h", right=True, write=usd()),
    Column("note", "Note"),
    Column("source", "Source", wide=True),
)
ROWS = (
    {"name": "p4d.24xlarge", "usd_per_hour": 21.957642, "note": "a | b", "source": "list"},
    {"name": "evil\x1b[2J\nname", "usd_per_hour": None, "note": None, "source": "x"},
)
VIEW = View("compare", {"offers": [dict(row) for row in ROWS]}, COLUMNS, ROWS, notes=("2 offers.",))


def shown(output: str, view: View = VIEW) -> str:
    stream = io.StringIO()
    show(view, output, stream)
    return stream.getvalue()


def test_json_is_one_object_with_exact_figures():
    body = json.loads(shown("json"))
    assert (body["version"], body["kind"]) == (1, "compare")
    assert body["offers"][0]["usd_per_hour"] == 21.957642 and body["offers"][1]["usd_per_hour"] is None


def test_csv_has_exact_figures_and_every_column():
    rows = list(csv.DictReader(io.StringIO(shown("csv"))))
    assert rows[0] == {"name": "p4d.24xlarge", "usd_per_hour": "21.957642", "note": "a | b", "source": "list"}
    assert rows[1]["usd_per_hour"] == ""


def test_the_table_is_aligned_and_leaves_wide_columns_to_wide():
    lines = shown("table").splitlines()
    assert lines[0].split() == ["Name", "USD/h", "Note"] and "21.96" in lines[2] and lines[-1] == "2 offers."
    assert "Source" in shown("wide")


def test_no_control_character_reaches_the_terminal():
    for output in ("table", "wide", "markdown"):
        assert "\x1b" not in shown(output) and "evil?[2J?name" in shown(output)


def test_markdown_escapes_its_own_signs():
    assert "a \\| b" in shown("markdown") and "---:" in shown("markdown")


def test_an_empty_view_says_so():
    assert shown("table", VIEW._replace(rows=(), empty="No offer.")) == "No offer.\n2 offers.\n"


@given(st.integers(30, 120), st.lists(st.text(st.characters(codec="ascii"), max_size=60), min_size=1, max_size=5))
def test_a_table_fits_its_width(width, names):
    rows = [{"name": name or "x", "usd_per_hour": 1.0, "note": name[::-1]} for name in names]
    for line in table(COLUMNS[:3], rows, width).splitlines():
        assert len(line) <= width


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "yes"), (8.0, "8"), (0.125, "0.125"), (["a", 1], "a, 1"), ("x", "x")]
)
def test_values_without_a_column_of_their_own(value, text):
    assert plain(value) == text


def test_printable_keeps_letters():
    assert printable("é ok") == "é ok"


def test_narrow_terminals_lose_what_matters_least_first(monkeypatch):
    columns = (
        Column("a", "Name"),
        Column("b", "Less", keep=2),
        Column("c", "Least", keep=1),
        Column("d", "USD/h", right=True),
    )
    rows = [{"a": "n" * 20, "b": "b" * 10, "c": "c" * 10, "d": 1.5}]
    stream = io.StringIO()
    monkeypatch.setenv("COLUMNS", "45")
    show(View("x", {}, columns, rows), "table", stream)
    lines = stream.getvalue().splitlines()
    assert lines[0].split() == ["Name", "Less", "USD/h"] and "terminal: Least" in stream.getvalue()
    stream = io.StringIO()
    monkeypatch.setenv("COLUMNS", "24")
    show(View("x", {}, columns, rows), "table", stream)
    assert stream.getvalue().splitlines()[2] == "nnnnnnnnnnnnnnn..    1.5"


def test_records_in_csv_spread_nested_objects():
    records = [{"a": 1, "speed": None, "tags": ["x", "y"]}, {"a": 2, "speed": {"value": 3.25}, "tags": []}]
    stream = io.StringIO()
    show(View("x", {"items": records}, records="items"), "csv", stream)
    assert stream.getvalue() == "a,tags,speed.value\n1,x;y,\n2,,3.25\n"


def test_further_tables_stand_below_their_titles():
    view = VIEW._replace(sections=(Section("More", COLUMNS[:1], ROWS),))
    assert "\nMore\nName\n" in shown("table", view) and "\nMore\n\n| Name " in shown("markdown", view)


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_json_never_holds_what_json_cannot(figure):
    with pytest.raises(ValueError):
        shown("json", View("x", {"items": [{"a": figure}]}))


def test_numbers_stay_whole_when_nothing_else_gives(monkeypatch):
    columns = (Column("a", "Name"), Column("b", "A long title", right=True), Column("c", "Another title", right=True))
    rows = [{"a": "n" * 20, "b": 1234567.5, "c": 2}]
    for width in (30, 20, 12):
        lines = table(columns, rows, width).splitlines()
        assert max(map(len, lines)) <= max(width, 6) and lines[0].startswith("Name")
    monkeypatch.setenv("COLUMNS", "12")
    stream = io.StringIO()
    show(View("x", {}, columns, rows), "table", stream)
    assert "Left out for the width" in stream.getvalue().replace("\n  ", " ")


def test_notes_are_wrapped_where_they_begin_and_commands_and_names_stay_whole():
    assert wrapped("  guard in machine: stop", 20) == "  guard in machine:\n    stop"
    assert wrapped("  gpucloud up train --gpu T4", 20) == "  gpucloud up train --gpu T4"
    assert wrapped("see fw-trial-xxxxxxxx-and-more", 20) == "see\n  fw-trial-xxxxxxxx-and-more"
    assert wrapped("anything of any length", None) == "anything of any length"


def test_a_name_is_kept_long_while_a_lesser_column_can_go(monkeypatch):
    columns = (Column("name", "Name", floor=20), Column("state", "State"), Column("basis", "Basis", keep=6))
    rows = [{"name": "Standard_NC4as_T4_v3", "state": "a state of 18 chars", "basis": "measured"}]
    view = View("x", {}, columns, rows, sections=[Section("Again", columns, rows)])
    monkeypatch.setenv("COLUMNS", "38")
    text = shown("table", view)
    assert "Standard_NC4as_T4_v3  a state of 18 .." in text
    assert text.count("Left out for") == 1 and text.count("Basis") == 1
