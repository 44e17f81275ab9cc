"""`gpucloud estimate`: the single formulas as a calculator. What is known goes in, the rest is solved for."""

from __future__ import annotations

import typer

from gpucloud.cli.estimate_view import show
from gpucloud.cli.given import card_figure, opt, ranges, single, whole
from gpucloud.core.errors import UsageError
from gpucloud.core.ranges import Range, spread

TIME, COUNT = "TIME", "N"


def train(
    ctx: typer.Context,
    params: str | None = opt("Parameters of the model: 7e9 or 7B."),
    tokens: str | None = opt("Tokens to train on."),
    flops_per_param_token: str | None = opt("6, or 8 when activations are recomputed (default 6)."),
    layers: str | None = opt("Layers; with --d-model and --seq, attention is counted too."),
    d_model: str | None = opt("Width of the model."),
    seq: str | None = opt("Tokens in a sequence."),
    flops: str | None = opt("Floating-point operations of the whole work, instead of --params."),
    samples: str | None = opt("Samples to train on, instead of --tokens."),
    steps: str | None = opt("Steps to train."),
    seconds_per_step: str | None = opt("Seconds of one step."),
    hours: str | None = opt("Hours of training."),
    gpu_hours: str | None = opt("Hours of training x GPUs."),
    gpu: str | None = opt("The GPU, for its peak.", "NAME"),
    peak_tflops: str | None = opt("Peak of one GPU in TFLOPS, instead of --gpu."),
    count: str | None = opt("GPUs."),
    mfu: str | None = opt("Share of the peak that is used, as 0.4 or 40%."),
    achieved_tflops: str | None = opt("TFLOPS that one GPU really does."),
    throughput: str | None = opt("Work per second of all GPUs, in the unit of the work."),
    throughput_per_gpu: str | None = opt("The same of one GPU."),
    usd_per_hour: str | None = opt("Price of all GPUs for an hour."),
    usd_per_gpu_hour: str | None = opt("Price of one GPU for an hour."),
    watts_per_gpu: str | None = opt("Power of one GPU with its share of the host."),
    pue: str | None = opt("Power of the building over power of the machines (default 1)."),
    deadline: str | None = opt("Time allowed: gives the number of GPUs.", TIME),
) -> None:
    """Time, utilisation, cost and energy of a training run."""
    from gpucloud.core.train_time import DEFAULT_FLOPS_PER_PARAM_TOKEN, train, work_unit

    words = dict(ctx.params)
    unit = work_unit({key: 1.0 for key, value in words.items() if value is not None})
    for key in ("throughput", "throughput_per_gpu"):
        words[key] = _rate_in(unit, words[key], key)
    given = ranges(words, durations={"deadline": "h", "hours": "h", "seconds_per_step": "s"}, other=("gpu",))
    whole(given, "count")
    if "mfu" in given and given["mfu"][1] > 1:
        raise UsageError("--mfu is a share of the peak and cannot exceed 1.", "Write 40% or 0.4.")
    _in_hours(given, "hours", "hours")
    _in_hours(given, "deadline", "deadline_hours")
    assumed: dict[str, object] = {}
    if gpu is not None:
        name, peak = _peak(gpu, "peak_tflops" in given)
        given["peak_tflops"] = (peak, peak)
        assumed.update(gpu=name, peak_tflops=peak)
    if params is not None and flops_per_param_token is None:
        assumed["flops_per_param_token"] = DEFAULT_FLOPS_PER_PARAM_TOKEN
    if watts_per_gpu is not None and pue is None:
        assumed["pue"] = 1
    show("train", spread(train, given), assumed)


def _in_hours(given: dict[str, Range], key: str, new_key: str) -> None:
    if key in given:
        low, high = given.pop(key)
        given[new_key] = (low / 3600, high / 3600)


def _rate_in(unit: str, words: str | None, key: str) -> str | None:
    """`"380 tokens/s"` → `"380"`. Raises UsageError when the work is counted in something else."""
    if words is None or "/" not in words:
        return words
    value, _, rest = words.strip().partition(" ")
    named, _, per = rest.strip().partition("/")
    known = {"images": "samples", "sequences": "samples", "tok": "tokens"}.get(named.strip(), named.strip())
    if per.strip() not in ("s", "sec", "second"):
        raise UsageError(f"--{key.replace('_', '-')} is per second, not '{rest}'.", "Write it like 380 tokens/s.")
    if known != unit and unit != "units":
        raise UsageError(
            f"The work is counted in {unit}, the throughput in {known}.", f"Give both in {unit}, or both in {known}."
        )
    return value


def _peak(gpu: str, doubly: bool) -> tuple[str, float]:
    if doubly:
        raise UsageError("--gpu and --peak-tflops both give the peak.", "Leave one of them out.")
    return card_figure(gpu, lambda card: card.fp16_tensor_tflops or card.fp32_tflops, "peak")


def memory(
    ctx: typer.Context,
    params: str | None = opt("Parameters of the model: 7e9 or 7B."),
    optimizer: str | None = opt("How weights are updated (default adam).", "adam|adam8bit|sgd"),
    precision: str | None = opt("Number format (default mixed).", "mixed|fp32|bf16"),
    method: str | None = opt("What is trained (default full).", "full|lora|qlora"),
    zero: str | None = opt("ZeRO stage: how much state the GPUs share (default 0).", "0..3"),
    gpus: str | None = opt("GPUs that share the state (default 1)."),
    bytes_per_param: str | None = opt("Bytes of state per parameter, instead of those of the optimizer."),
    layers: str | None = opt("Layers; with --d-model and --seq, activations are counted."),
    d_model: str | None = opt("Width of the model."),
    batch: str | None = opt("Samples per GPU (default 1)."),
    seq: str | None = opt("Tokens in a sequence."),
    vocab: str | None = opt("Size of the vocabulary, for the logits."),
    activation_copies: str | None = opt("Copies of batch x seq x d_model that a layer keeps (default 28)."),
    checkpointing: bool = typer.Option(False, "--checkpointing", help="Recompute activations in the backward pass."),
    adapter_share: str | None = opt("Trained share of the parameters with LoRA (default 1%)."),
    gpu: str | None = opt("The GPU, for its memory.", "NAME"),
    gpu_memory: str | None = opt("Memory of a GPU, instead of --gpu.", "80GB"),
) -> None:
    """Memory that a model needs per GPU, and whether it fits."""
    from gpucloud.cli.estimate_memory import estimate

    if gpu is not None and gpu_memory is not None:
        raise UsageError("--gpu and --gpu-memory both give the memory.", "Leave one of them out.")
    card_gib = None if gpu is None else card_figure(gpu, lambda card: card.memory_gib, "memory")[1]
    answer, assumed = estimate(ctx.params, card_gib)
    show("memory", answer, assumed)


def scaling(
    point: list[str] = typer.Option([], "--point", metavar="N=Y", help="Throughput Y measured on N GPUs; repeatable."),
    per_gpu: bool = typer.Option(False, "--per-gpu", help="Y is that of one GPU, not of all."),
    at: str | None = opt("Predict the throughput on so many GPUs."),
) -> None:
    """Speed-up and efficiency from measured points."""
    from gpucloud.core.ranges import number
    from gpucloud.core.scaling import scaling

    if not point:
        raise UsageError("No measured point is given.", "Add --point N=Y, as in --point 1=2470 --point 8=16621.")
    points: dict[float, float] = {}
    for text in point:
        left, equals, right = text.partition("=")
        if not equals:
            raise UsageError(f"--point '{text}' is not N=Y.", "Write it like 8=16621.")
        n, y = number(left, "--point N"), number(right, "--point Y")
        if n <= 0 or y <= 0:
            raise UsageError(f"--point '{text}' must be positive.", "Write it like 8=16621.")
        if n in points:
            raise UsageError(f"--point {left} is given twice.", "Keep one of them.")
        points[n] = y
    target = single(ranges({"at": at}), "at")
    show("scaling", scaling(points, target, per_gpu=per_gpu))


def comm(
    ctx: typer.Context,
    params: str | None = opt("Parameters of the model."),
    bytes_: str | None = opt("Bytes of one gradient (default 4).", "N", "--bytes"),
    gb_per_s: str | None = opt("Bandwidth in gigabytes a second."),
    gbit_per_s: str | None = opt("Bandwidth in gigabits a second."),
    gpus: str | None = opt("GPUs of the ring."),
    step: str | None = opt("Time of a step on one GPU: gives the share that is left.", TIME),
    hidden: str | None = opt("Share of the exchange behind the backward pass (default 0).", "SHARE"),
) -> None:
    """Time to exchange gradients over a link, and how much of a step it leaves."""
    from gpucloud.core.comm import GBIT_PER_GB, allreduce_s, comm_efficiency, transfer_s

    given = ranges(ctx.params, durations={"step": "s"}, zero_ok=("hidden",))
    if given.get("hidden", (0, 0))[1] > 1:
        raise UsageError("--hidden is a share and cannot exceed 1.", "Write 50% or 0.5.")
    if "step" in given and "gpus" not in given:
        raise UsageError("What a step keeps depends on the number of GPUs.", "Add --gpus.")
    if "params" not in given or ("gb_per_s" in given) == ("gbit_per_s" in given):
        raise UsageError("This needs --params and one bandwidth.", "Give --gb-per-s or --gbit-per-s.")
    if "gbit_per_s" in given:
        low, high = given.pop("gbit_per_s")
        given["gb_per_s"] = (low / GBIT_PER_GB, high / GBIT_PER_GB)
    given.setdefault("bytes_", (4.0, 4.0))
    whole(given, "gpus")

    def exchange(at: dict[str, float]) -> dict[str, float | None]:
        once = (at["params"], at["bytes_"], at["gb_per_s"])
        ring = allreduce_s(*once, at["gpus"]) if "gpus" in at else None
        kept = comm_efficiency(at["step"], ring, at.get("hidden", 0.0)) if ring is not None and "step" in at else None
        return {"transfer_s": transfer_s(*once), "allreduce_s": ring, "efficiency": kept}

    assumed = {} if bytes_ else {"bytes": 4}
    show("comm", spread(exchange, given), {**assumed, **({"hidden": 0} if step and not hidden else {})})


def spot(
    ctx: typer.Context,
    checkpoint: str | None = opt("Time to write a checkpoint.", TIME),
    mtbf: str | None = opt("Mean time between interruptions of one node.", TIME),
    restart: str | None = opt("Time to be back at work after one (default 0).", TIME),
    interval: str | None = opt("Time between checkpoints (default: the best).", TIME),
    on_demand: str | None = opt("Price on demand."),
    spot: str | None = opt("Price on the spot market."),
    nodes: str | None = opt("Nodes that must all live (default 1)."),
    failures: str | None = opt("Failures of the whole job seen --over a time, instead of --mtbf."),
    over: str | None = opt("The time of --failures.", TIME),
    failures_per_1000_node_days: str | None = opt("Failure rate of a fleet, instead of --mtbf."),
    gpus: str | None = opt("GPUs of the job."),
    gpus_per_node: str | None = opt("GPUs of a node."),
) -> None:
    """Checkpoint interval, time lost to interruptions, and the effective price of spot machines."""
    from gpucloud.cli.estimate_spot import estimate

    answer, assumed = estimate(ctx.params)
    show("spot", answer, assumed)


def own(
    ctx: typer.Context,
    price: str | None = opt("Purchase price of all systems."),
    watts: str | None = opt("Power of all systems at work."),
    usd_per_kwh: str | None = opt("Price of electricity."),
    pue: str | None = opt("Power of the building over power of the machines (default 1)."),
    colo_per_year: str | None = opt("Space, of all systems."),
    ops_per_year: str | None = opt("People, of all systems."),
    other_per_year: str | None = opt("Support, insurance and the rest, of all systems."),
    years: str | None = opt("How long they are kept (default 1)."),
    resale: str | None = opt("Worth at the end: dollars, or a share of the price as 20% (default 0)."),
    rate: str | None = opt("Cost of capital per year, as 10% (default 0)."),
    utilisation: str | None = opt("Share of the hours in which they work (default 1).", "SHARE"),
    idle_share: str | None = opt("Idle power over full power (default 0).", "SHARE"),
    systems: str | None = opt("How many systems, for the answers per system (default 1)."),
    versus: str | None = opt("Rent of the same for an hour: gives the crossing.", "USD_PER_HOUR"),
) -> None:
    """Cost of owning over the years, and when it beats renting."""
    from gpucloud.cli.estimate_own import estimate

    answer, assumed = estimate(ctx.params)
    show("own", answer, assumed)


def energy(
    ctx: typer.Context,
    watts: str | None = opt("Power of one device."),
    hours: str | None = opt("How long it runs.", TIME),
    count: str | None = opt("Devices (default 1)."),
    pue: str | None = opt("Power of the building over power of the machines (default 1)."),
    utilisation: str | None = opt("Share of the time at that power (default 1).", "SHARE"),
    usd_per_kwh: str | None = opt("Price of electricity."),
    kg_co2_per_kwh: str | None = opt("Carbon of electricity."),
) -> None:
    """Energy of a job, its price and its carbon."""
    from gpucloud.core.energy import energy_kwh

    given = ranges(ctx.params, durations={"hours": "h"}, zero_ok=("usd_per_kwh", "kg_co2_per_kwh"))
    if "watts" not in given or "hours" not in given:
        raise UsageError("This needs --watts and --hours.", "As in --watts 400 --hours 24 --count 8.")
    _in_hours(given, "hours", "hours")
    assumed = {key: 1 for key in ("count", "pue", "utilisation") if key not in given}

    def use(at: dict[str, float]) -> dict[str, float | None]:
        shares = {key: at.get(key, 1.0) for key in ("count", "pue", "utilisation")}
        kwh = energy_kwh(at["watts"], at["hours"], **shares)
        usd, carbon = at.get("usd_per_kwh"), at.get("kg_co2_per_kwh")
        return {
            "kwh": kwh,
            "usd": None if usd is None else kwh * usd,
            "kg_co2": None if carbon is None else kwh * carbon,
        }

    show("energy", spread(use, given), assumed)
