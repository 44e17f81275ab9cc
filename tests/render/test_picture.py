"""Pictures: text that stays text, all or nothing on the disk, and a sentence where nothing can be drawn."""

from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pytest

from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.render import picture

pytest.importorskip("matplotlib")


class Price(NamedTuple):
    series: tuple[str, str, str, str, str]
    usd_per_hour: float | None
    observed_on: str
    last_seen: str = ""


def words(file: Path) -> str:
    return " ".join(ElementTree.parse(file).getroot().itertext())


def test_hostile_names_are_drawn_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "x.svg"
    picture.cheapest(file, {"$\\frac{1}{2}$": 1.0, "<script>alert(1)</script>": 2.5, "own": 3.0}, "USD", {"own"})
    assert "$\\frac{1}{2}$" in words(file) and "<script>alert(1)</script>" in words(file)
    assert "2.500" in words(file) and "hatched: own machines" in words(file)
    assert [one.name for one in tmp_path.iterdir()] == ["x.svg"]


def test_price_history_names_its_machines(tmp_path: Path) -> None:
    here, there = ("aws", "p5", "us-east-1", "", "on-demand"), ("aws", "p4", "", "us-east-1a", "spot")
    lines = [
        Price(here, 98.0, "2023-01-01"),
        Price(here, 55.0, "2025-06-01", "2026-01-01"),
        Price(there, 9.0, "2024-01-01"),
    ]
    picture.price_history(tmp_path / "h.svg", lines)
    assert "aws p5 us-east-1 on-demand" in words(tmp_path / "h.svg") and "aws p4 us-east-1a spot" in words(
        tmp_path / "h.svg"
    )


def test_rent_or_own_tells_where_owning_pays(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "rent_usd_per_hour": 2.0,
        "usd_per_hour_by_utilisation": [[0.1, 8.0], [0.5, 1.8], [1.0, 1.0]],
    }
    options: list[dict[str, Any]] = [
        {"system": "quiet PC", "own": {**own, "break_even_utilisation": 0.45}},
        {"system": "dear server", "own": {**own, "break_even_utilisation": None}},
        {"system": None, "own": None},
    ]
    picture.rent_or_own(tmp_path / "o.svg", options)
    assert "quiet PC: pays above 45% use" in words(tmp_path / "o.svg") and "dear server: never pays" in words(
        tmp_path / "o.svg"
    )
    with pytest.raises(NothingFits, match="no curve"):
        picture.rent_or_own(tmp_path / "none.svg", options[2:])


def test_a_full_disk_leaves_the_old_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "old.png"
    file.write_bytes(b"old")
    drawn, _ = picture.figure(file)

    def full(part: Path, **_: object) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(drawn, "savefig", full)
    with pytest.raises(UsageError, match="No space left"):
        picture.save(drawn, file)
    assert file.read_bytes() == b"old" and [one.name for one in tmp_path.iterdir()] == ["old.png"]


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError) as told:
        picture.spent(tmp_path / "x.svg", {"a": 1.0})
    assert "gpucloud[plot]" in str(told.value.hint)
