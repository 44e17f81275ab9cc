"""Single pictures through matplotlib, readable on paper: SVG or PNG, by the file's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from gpucloud.core.errors import UsageError

FORMATS = (".svg", ".png", ".pdf")
SERIES_AT_MOST = 10
SIZE_INCHES = (7.0, 4.2)


class DatedPrice(Protocol):
    """A price of a series and the day from which it held."""

    @property
    def series(self) -> tuple[str, str, str, str, str]: ...

    @property
    def usd_per_hour(self) -> float | None: ...

    @property
    def observed_on(self) -> str: ...

    @property
    def last_seen(self) -> str: ...


def figure(path: Path) -> tuple[Any, Any]:
    """An empty figure and its axes. Raises UsageError for another format, or without matplotlib."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"A picture is written as {', '.join(FORMATS)}, not as '{path.name}'.", "Name it plot.svg.")
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        raise UsageError("Pictures need the plot extra.", 'pip install "gpucloud[plot]"') from None
    drawn, axes = pyplot.subplots(figsize=SIZE_INCHES, layout="constrained")
    return drawn, axes


def save(drawn: Any, path: Path) -> None:
    """Write the figure. Raises UsageError where that is impossible."""
    from matplotlib import pyplot

    try:
        drawn.savefig(path, dpi=200)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.", "Choose another file.") from None
    finally:
        pyplot.close(drawn)


def price_history(path: Path, lines: Sequence[DatedPrice]) -> None:
    """Steps of USD/h over time, one line per machine and place; at most ten of them."""
    drawn, axes = figure(path)
    series = [list(group) for _, group in groupby(lines, key=lambda line: line.series)]
    shown = sorted(series, key=len, reverse=True)[:SERIES_AT_MOST]
    for group in shown:
        days = [date.fromisoformat(line.observed_on) for line in group]
        prices = [line.usd_per_hour for line in group]
        last = max(line.last_seen or line.observed_on for line in group)
        steps = [*days, date.fromisoformat(last)], [*prices, prices[-1]]
        axes.step(*steps, where="post", label=_name(group[0]), marker=".")
    axes.set_ylabel("USD per hour, whole machine")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", frameon=False)
    if len(shown) < len(series):
        axes.set_title(f"{len(shown)} of {len(series)} series, those with most changes", fontsize="small")
    save(drawn, path)


def _name(line: DatedPrice) -> str:
    _, kind, region, zone, market = line.series
    return " ".join(filter(None, (kind, zone or region, market)))


def cost_against_time(path: Path, options: Sequence[Mapping[str, Any]]) -> None:
    """The options of `recommend`: hours and USD on logarithmic axes, 80 % intervals, the Pareto front."""
    drawn, axes = figure(path)
    for kind, colour, marker in (("rent", "#0072b2", "o"), ("own", "#d55e00", "s")):
        kept = [option for option in options if option["kind"] == kind and option["hours"] and option["usd"]]
        if kept:
            across = [
                [option["hours"] - option["low_hours"] for option in kept],
                [option["high_hours"] - option["hours"] for option in kept],
            ]
            up = [
                [option["usd"] - option["low_usd"] for option in kept],
                [option["high_usd"] - option["usd"] for option in kept],
            ]
            points = [option["hours"] for option in kept], [option["usd"] for option in kept]
            axes.errorbar(*points, xerr=across, yerr=up, fmt=marker, color=colour, ms=4, lw=0.6, alpha=0.75, label=kind)
    front = sorted((option["hours"], option["usd"]) for option in options if option["pareto"])
    if front:
        axes.plot(*zip(*front, strict=True), color="#009e73", ls="--", lw=1.2, label="Pareto front")
    axes.set(xscale="log", yscale="log", xlabel="hours for the whole work", ylabel="USD for the whole work")
    for axis in (axes.xaxis, axes.yaxis):  # 20 and 200, not 2 x 10^1
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.3, which="both", lw=0.4)
    axes.legend(fontsize="small", frameon=False)
    save(drawn, path)


def prices(path: Path, offers: Sequence[Mapping[str, Any]]) -> None:
    """The cheapest hour of each GPU among offers, up to twenty."""
    best: dict[str, float] = {}
    for offer in offers:
        usd = offer["usd_per_gpu_hour"]
        if usd and offer["status"] == "current":
            best[offer["accelerator"]] = min(usd, best.get(offer["accelerator"], usd))
    _bars(path, dict(sorted(best.items(), key=lambda item: item[1])[:20]), "USD per GPU and hour, cheapest offer")


def spent(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    """USD by deployment, the thirty dearest."""
    sums: dict[str, float] = {}
    for item in items:
        sums[item["deployment"]] = sums.get(item["deployment"], 0.0) + (item["usd"] or 0.0)
    _bars(path, dict(sorted(sums.items(), key=lambda item: -item[1])[:30]), "USD spent")


def _bars(path: Path, values: Mapping[str, float], title: str) -> None:
    drawn, axes = figure(path)
    axes.barh(list(values), list(values.values()), color="#0072b2")
    axes.invert_yaxis()
    axes.set_xlabel(title)
    axes.grid(alpha=0.3, axis="x")
    save(drawn, path)
