"""What ends a machine, as people read it: who, what, when in their own zone, and what that survives."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from gpucloud.cli.guard_words import guard_phrase

NOW = datetime(2026, 11, 24, 9, 0).timestamp()
TOMORROW = datetime(2026, 11, 25, 14, 5).timestamp()


def test_who_does_what_and_when():
    survives = ("client_killed", "network lost")
    said = guard_phrase("in_machine_deadline", "stop", TOMORROW, survives, NOW)
    assert said == "the machine stops itself at 14:05 tomorrow, also if: client killed, network lost"
    assert guard_phrase("provider", "delete", TOMORROW, (), NOW) == "the cloud deletes it at 14:05 tomorrow"
    assert guard_phrase("in_machine_deadline", "end_runs", TOMORROW, (), NOW).startswith(
        "the machine ends the runs and gives the GPUs back at"
    )


def test_idleness_is_said_with_its_time_where_it_is_known():
    assert guard_phrase("in_machine_idle", "stop", None, (), NOW, 3600) == (
        "the machine stops itself when it was idle for 60 min"
    )
    assert guard_phrase("in_machine_idle", "delete", None, (), NOW) == "the machine deletes itself when it is idle"


def test_the_client_is_the_reader():
    assert "gpucloud down" in guard_phrase("client", "delete", None, (), NOW)


def test_an_action_of_a_newer_version_is_said_as_it_is():
    assert guard_phrase("provider", "archive", TOMORROW, (), NOW) == "the cloud archive at 14:05 tomorrow"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process is fixed here")
def test_the_time_is_in_the_zone_of_the_reader(monkeypatch):
    at_utc = 1_796_000_000.0  # 2026-11-30T00:53:20Z
    said = {}
    for zone in ("UTC", "Asia/Kolkata"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        said[zone] = guard_phrase("provider", "stop", at_utc, (), at_utc - 60)
    monkeypatch.undo()
    time.tzset()
    assert said["UTC"] == "the cloud stops it at 00:53 today" and "06:23 today" in said["Asia/Kolkata"]
