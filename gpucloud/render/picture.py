"""Single pictures through matplotlib, readable on paper: SVG or PNG, by the file's name."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from gpucloud.core.errors import NothingFits, UsageError
from gpucloud.render.report.charts import far_apart

FORMATS = (".svg", ".png", ".pdf")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")  # Okabe and Ito
MARKERS = "oD^sPvX*"
SERIES_AT_MOST, CURVES_AT_MOST, BARS_AT_MOST = 8, 5, 15
STYLE: Any = {
    "font.size": 9,
    "text.parse_math": False,  # a name with dollar signs is a name
    "svg.fonttype": "none",  # text stays text: searched and edited in a paper
    "pdf.fonttype": 42,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
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


def check_format(path: Path) -> None:
    """Raises UsageError where the name asks for a format that is not written."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"A picture is written as {', '.join(FORMATS)}, not as '{path.name}'.", "Name it plot.svg.")


def figure(path: Path) -> tuple[Any, Any]:
    """An empty figure and its axes. Raises UsageError for another format, or without matplotlib."""
    check_format(path)
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        raise UsageError("Pictures need the plot extra.", 'pip install "gpucloud[plot]"') from None
    matplotlib.rcParams.update(STYLE)
    drawn, axes = pyplot.subplots(figsize=SIZE_INCHES, layout="constrained")
    axes.set_axisbelow(True)
    return drawn, axes


def save(drawn: Any, path: Path) -> None:
    """Write the figure whole or not at all. Raises UsageError where that is impossible."""
    from matplotlib import pyplot

    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        drawn.savefig(part, dpi=300, format=path.suffix.lower().lstrip("."))
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.", "Choose another file.") from None
    finally:
        pyplot.close(drawn)


def price_history(path: Path, lines: Sequence[DatedPrice]) -> None:
    """Steps of USD/h over time, one line per machine and place; at most ten of them."""
    drawn, axes = figure(path)
    series = [list(group) for _, group in groupby(lines, key=lambda line: line.series)]
    shown = sorted(series, key=len, reverse=True)[:SERIES_AT_MOST]
    for group, colour, marker in zip(shown, COLOURS, MARKERS, strict=False):
        days = [date.fromisoformat(line.observed_on) for line in group]
        prices = [line.usd_per_hour for line in group]
        last = max(line.last_seen or line.observed_on for line in group)
        steps = [*days, date.fromisoformat(last)], [*prices, prices[-1]]
        axes.step(*steps, where="post", label=_name(group[0]), color=colour, marker=marker, ms=4)
    axes.set_xlabel("day from which the price held")
    axes.set_ylabel("USD per hour, whole machine")
    if far_apart([line.usd_per_hour for group in shown for line in group if line.usd_per_hour is not None]):
        axes.set_yscale("log")
        _plain_numbers(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    _legend_below(drawn)
    if len(shown) < len(series):
        axes.set_title(f"{len(shown)} of {len(series)} series, those with most changes", fontsize="small")
    save(drawn, path)


def _name(line: DatedPrice) -> str:
    cloud, kind, region, zone, market = line.series
    return " ".join(filter(None, (cloud, kind, zone or region, market)))


def cost_against_time(path: Path, options: Sequence[Mapping[str, Any]]) -> None:
    """The options of `recommend`: hours and USD on logarithmic axes, 80 % intervals, the Pareto front."""
    drawn, axes = figure(path)
    for kind, colour, marker in (("rent", COLOURS[0], "o"), ("own", COLOURS[1], "D")):
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
        axes.plot(*zip(*front, strict=True), color=COLOURS[2], ls="--", lw=1.4, label="Pareto front")
        for option in options:
            if option["pareto"]:
                about = {"xytext": (-4, -9), "textcoords": "offset points", "ha": "right", "fontsize": 8}
                axes.annotate(f"#{option['rank']}", (option["hours"], option["usd"]), **about)
    axes.set(xscale="log", yscale="log", xlabel="hours for the whole work", ylabel="USD for the whole work")
    for axis in (axes.xaxis, axes.yaxis):
        _plain_numbers(axis)
    axes.grid(alpha=0.3, which="both", lw=0.4)
    axes.legend(fontsize="small", frameon=False)
    save(drawn, path)


def _plain_numbers(axis: Any) -> None:
    """Ticks of a logarithmic axis as 20, 50 and 100, not as powers."""
    from matplotlib.ticker import LogLocator, NullLocator

    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 500 * low else (1,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:,g}")


def _legend_below(drawn: Any) -> None:
    drawn.legend(loc="outside lower center", ncols=2, fontsize="small", frameon=False)


def rent_or_own(path: Path, options: Sequence[Mapping[str, Any]]) -> None:
    """What an owned hour costs by its use, against the cheapest rent for the same speed; the crossing is marked."""
    owned = [option for option in options if (option.get("own") or {}).get("usd_per_hour_by_utilisation")]
    if not owned:
        raise NothingFits(
            "No option is an own machine, so there is no curve to draw.",
            "`gpucloud recommend` shows own machines for work that one of them can hold.",
        )
    drawn, axes = figure(path)
    for option, colour, marker in zip(owned[:CURVES_AT_MOST], COLOURS, MARKERS, strict=False):
        own, crossing = option["own"], option["own"].get("break_even_utilisation")
        pays = crossing is not None and crossing <= 1
        words = f"{option['system']}: {f'pays above {crossing:.0%} use' if pays else 'never pays'}"
        use, usd = zip(*own["usd_per_hour_by_utilisation"], strict=True)
        at = {"marker": marker, "markevery": (0, 3), "ms": 4}
        axes.plot([share * 100 for share in use], usd, color=colour, label=words, lw=1.4, **at)
        axes.axhline(own["rent_usd_per_hour"], color=colour, ls="--", lw=0.9)
        if pays:
            axes.plot(crossing * 100, own["rent_usd_per_hour"], color=colour, marker=marker, ms=9, mec="black")
    axes.set(
        yscale="log", xlim=(0, 100), xlabel="share of all hours in which it works (%)", ylabel="USD for an hour of work"
    )
    _plain_numbers(axes.yaxis)
    axes.set_title(
        "Full: owning. Dashed: the cheapest rent for the same speed. Large mark: both cost the same.", fontsize="small"
    )
    axes.grid(alpha=0.3, lw=0.4)
    _legend_below(drawn)
    save(drawn, path)


def cheapest(path: Path, values: Mapping[str, float], axis: str, owned: Collection[str] = (), digits: int = 3) -> None:
    """One bar for each name, the cheapest on top, its figure behind it; own machines are hatched."""
    kept = dict(sorted(values.items(), key=lambda item: (item[1], item[0]))[:BARS_AT_MOST])
    _bars(path, kept, axis, owned, digits)


def spent(path: Path, values: Mapping[str, float]) -> None:
    """USD by deployment, the dearest on top."""
    _bars(path, dict(sorted(values.items(), key=lambda item: -item[1])[:BARS_AT_MOST]), "USD spent", (), 2)


def _bars(path: Path, values: Mapping[str, float], axis: str, owned: Collection[str], digits: int) -> None:
    drawn, axes = figure(path)
    colours = [COLOURS[1 if name in owned else 0] for name in values]
    hatches = ["//" if name in owned else "" for name in values]
    drawn_bars = axes.barh(
        list(values), list(values.values()), color=colours, hatch=hatches, edgecolor="white", height=0.7
    )
    axes.bar_label(drawn_bars, fmt=f"{{:,.{digits}f}}", padding=3, fontsize=8)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_xlabel(axis + ("; hatched: own machines" if owned else ""))
    axes.grid(alpha=0.3, axis="x")
    save(drawn, path)
