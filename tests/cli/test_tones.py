"""Which words of the tables have a tone."""

from __future__ import annotations

import pytest

from gpucloud.cli import tones
from gpucloud.cli.views import words
from gpucloud.core.deployments import ENDED, RUN_STATES


def test_what_ended_badly_never_looks_good():
    assert {words(state): tones.of_state(words(state)) for state in (*RUN_STATES, *ENDED)} == {
        "syncing": "",
        "setup": "",
        "running": "good",
        "succeeded": "good",
        "failed": "bad",
        "cancelled": "warn",
        "preempted": "warn",
        "lost": "bad",
        "ended by guard": "warn",
    }


@pytest.mark.parametrize(
    ("tone", "cases"),
    [
        (tones.of_exit, {"0": "", "": "", "3": "bad", "137": "bad"}),
        (tones.of_yes, {"yes": "good", "no": "warn", "": ""}),
        (tones.of_remark, {"": "", "price only": "", "stale": "warn", "suspect, stale": "warn"}),
        (tones.of_mark, {"": "", "tie": "", "tie, pareto": "good"}),
    ],
)
def test_tones_of_cells(tone, cases):
    assert {text: tone(text) for text in cases} == cases
