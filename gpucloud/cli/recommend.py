"""`gpucloud recommend`: ranked rent-or-own options for a piece of work, with reasons."""

from __future__ import annotations

import typer

from gpucloud.cli.given import opt
from gpucloud.cli.options import current

TIME = "TIME"


def recommend(
    ctx: typer.Context,
    work: str = typer.Option(
        ..., "--work", metavar="AMOUNT", help='What is to be done: "90 epochs", "1e12 tokens", "500h@V100".'
    ),
    model: str | None = opt("The model, as in `gpucloud throughput --model`.", "NAME"),
    params: str | None = opt("Its parameters, when the catalog does not know it: 7e9 or 7B."),
    flops_per_unit: str | None = opt("Its operations per sample, token or step, instead of --params."),
    precision: str | None = opt("Number format (default: what people train with today).", "NAME"),
    measured: str | None = opt('A rate that you have seen: "2.1 steps/s@RTX3090".', "RATE@GPU"),
    method: str = typer.Option("full", "--method", metavar="full|lora|qlora", help="What of the model is trained."),
    seq: str | None = opt("Tokens in a sequence, for the memory (default 2048)."),
    batch: str | None = opt("Samples per GPU, for the memory (default 1)."),
    layers: str | None = opt("Layers, for the memory (default: usual for the size)."),
    d_model: str | None = opt("Width, for the memory (default: usual for the size)."),
    trials: str | None = opt("Runs of a sweep (default 1)."),
    early_stop: str | None = opt("Share of a full run that a trial takes (default 1).", "SHARE"),
    deadline: str | None = opt("Time allowed.", TIME),
    budget: str | None = opt("Money allowed.", "USD"),
    profile: str | None = opt("Whose rule of thumb to test.", "hobbyist|startup|company"),
    stage: str = typer.Option("training", "--stage", metavar="development|training", help="What the rule is for."),
    arch: str = typer.Option("x86_64", "--arch", metavar="x86_64|any", help="Whether arm64 hosts are welcome."),
    allow_consumer: bool = typer.Option(False, "--allow-consumer", help="Consumer cards also for a business."),
    cloud: list[str] = typer.Option([], "--cloud", metavar="NAME", help="Only these clouds."),
    region: list[str] = typer.Option([], "--region", metavar="NAME", help="Only these regions."),
    gpu: list[str] = typer.Option([], "--gpu", metavar="NAME[:N]", help="Only these GPUs."),
    market: str = typer.Option("on-demand", "--market", metavar="on-demand|spot|any", help="How to buy."),
    max_nodes: str | None = opt("Machines at most (default 1; 16 with a deadline)."),
    have: list[str] = typer.Option([], "--have", metavar="GPU:N", help="GPUs that you own already."),
    utilisation: str | None = opt("Share of the hours in which a bought machine works.", "SHARE"),
    horizon: str | None = opt("How long a bought machine is kept (default 3y).", TIME),
    usd_per_kwh: str | None = opt("Price of electricity (default: the catalog's newest world average)."),
    checkpoint: str | None = opt("Time to write a checkpoint (default 3m).", TIME),
    restart: str | None = opt("Time to be back at work after an interruption (default 10m).", TIME),
    mtbf: str | None = opt("Time between interruptions of a spot machine (default: the catalog's).", TIME),
    interval: str | None = opt("Time between checkpoints (default: the best).", TIME),
    setup: str | None = opt("Time of each rented machine before the work begins (default 0).", TIME),
    disk_gib: str | None = opt("Disk of each rented machine (default 100).", "GIB"),
    download_gb: str | None = opt("What is taken home from the cloud at the end (default 0).", "GB"),
    stale: bool = typer.Option(False, "--stale", help="Rank prices older than a year, too."),
    limit: str | None = opt("Rows of the table (default 12; JSON and CSV have all)."),
    explain: bool = typer.Option(False, "--explain", help="Show the way of each number."),
    chart: bool = typer.Option(False, "--chart", help="Draw cost against time below the table."),
) -> None:
    """Ranked rent-or-own options for a piece of work, with reasons."""
    from gpucloud.cli.recommend_request import answer
    from gpucloud.cli.recommend_view import draw, view
    from gpucloud.render.view import show

    found = answer(ctx.params)
    show(view(found, explain=explain, limit=limit), current().output)
    if chart and current().output in ("table", "wide", "markdown"):
        draw(found, fenced=current().output == "markdown")
