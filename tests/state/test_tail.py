"""The newest events, read without a trace."""

from __future__ import annotations

import pytest

from gpucloud.core.errors import StateConflict
from gpucloud.core.events import Draft
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal
from gpucloud.state.tail import last_events


def test_the_newest_in_order_also_while_somebody_writes(tmp_path):
    journal = Journal.open(Home(tmp_path))
    journal.append(*(Draft("deployment_down", f"d{number}", {"x": number}) for number in range(5)))
    found = last_events(tmp_path / "state.db", 2)
    assert [(event.deployment, event.data) for event in found] == [("d3", {"x": 3}), ("d4", {"x": 4})]
    journal.close()


def test_no_journal_is_made(tmp_path):
    assert last_events(tmp_path / "state.db", 5) == [] and not list(tmp_path.iterdir())


def test_a_file_that_is_not_ours_is_left_alone(tmp_path):
    path = tmp_path / "state.db"
    path.write_text("something else")
    with pytest.raises(StateConflict):
        last_events(path, 5)
    assert path.read_text() == "something else"
