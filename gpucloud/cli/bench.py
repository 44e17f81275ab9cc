"""`gpucloud bench`: what a machine really does on a model, measured in a minute, and kept for `recommend`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from gpucloud.cli import names_asked as asked
from gpucloud.cli.options import current, narrate
from gpucloud.cli.outside import ask, context, dial, home
from gpucloud.core.errors import UsageError
from gpucloud.flows.measuring import MODELS, PRECISIONS
from gpucloud.render.text import significant
from gpucloud.render.view import Column, View, show

COLUMNS = (
    Column("accelerator", "GPU"),
    Column("count", "Count", right=True),
    Column("model", "Model"),
    Column("precision", "Precision"),
    Column("batch_size", "Batch/GPU", right=True),
    Column("value", "Median", right=True, write=significant),
    Column("low", "Low", right=True, write=significant),
    Column("high", "High", right=True, write=significant),
    Column("unit", "Unit"),
    Column("torch", "PyTorch", keep=4),
    Column("driver", "Driver", keep=3),
)


def bench(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The deployment; the only one by default.")
    ] = None,
    model: Annotated[str, typer.Option("--model", metavar="|".join(MODELS), help="What is trained.")] = "resnet50",
    precision: Annotated[str, typer.Option("--precision", metavar="|".join(PRECISIONS), help="How.")] = "fp32",
    batch: Annotated[
        int | None, typer.Option("--batch", metavar="N", min=1, help="Per GPU; halved until it fits.")
    ] = None,
    gpus: Annotated[int | None, typer.Option("--gpus", metavar="N", min=1, help="How many; all by default.")] = None,
    windows: Annotated[int, typer.Option("--windows", metavar="N", min=1, max=100, help="The median counts.")] = 5,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", min=0.05, max=600, help="Of each window.")] = 5.0,
    small: Annotated[bool, typer.Option("--small", help="A toy of the model, to try it out; never kept.")] = False,
    python: Annotated[
        str, typer.Option("--python", metavar="FILE", help="The machine's Python with PyTorch.")
    ] = "python3",
    save: Annotated[
        bool | None, typer.Option("--save/--no-save", help="Keep the figure in your catalog; asked on a terminal.")
    ] = None,
) -> None:
    """Measure what a machine does: real training steps on synthetic tensors with the machine's own PyTorch.

    One window to warm up, then the median of several. The figure can be kept as a measured row of your catalog, with
    the versions of driver, CUDA and PyTorch; `throughput` and `recommend` then use it.
    """
    from gpucloud.core.plan import find_deployment
    from gpucloud.flows import measuring
    from gpucloud.flows.machines import usable

    if small and save:
        raise UsageError("The figure of a toy is not kept.", "Leave --small or --save out.")
    wish = {
        "model": asked.one_of("--model", model, MODELS),
        "precision": asked.one_of("--precision", precision, PRECISIONS),
        "batch_size": batch or measuring.USUAL_BATCH[model],
        "count": gpus or 0,
        "windows": windows,
        "window_s": seconds,
        "small": small,
        "device": "auto",
    }
    with context() as ctx:
        deployment = usable(find_deployment(ctx.journal.present(), name))
        narrate(f"Measuring {model} on {deployment.name}: about {round(seconds * (windows + 1))} s.")
        with ctx.waiting(f"{deployment.name}: measuring {model}"):
            measured = measuring.measure(dial(), deployment, wish, ctx.narrate, _word(python))
        attempt = deployment.current
        accelerator = attempt.offer.accelerator if attempt else ""
    row: dict[str, Any] = {"accelerator": accelerator or "cpu", **asdict(measured), "deployment": deployment.name}
    kept = _wanted(save, measured.device != "cpu" and bool(accelerator) and not small)
    if kept:
        _keep(measuring.benchmark_row(measured, accelerator, "", _year()))
    notes = ["Kept in your catalog." if kept else "Not kept."]
    view = View("bench", {"results": [row], "saved": kept}, COLUMNS, [row], notes, records="results")
    show(view, current().output)


def _wanted(save: bool | None, keepable: bool) -> bool:
    """Whether the figure is to be kept: as said, else as answered on a terminal."""
    if save is None:
        return keepable and ask("Keep it in your catalog?", default=False)
    return save


def _word(python: str) -> str:
    import shlex

    return shlex.quote(python)


def _year() -> int:
    from datetime import date

    return date.today().year


def _keep(row: dict[str, Any]) -> None:
    from gpucloud.catalog.importing import Imported
    from gpucloud.flows import import_catalog

    import_catalog.write(home(), Imported("benchmarks", {"benchmarks.csv": [row]}))
