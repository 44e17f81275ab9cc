"""The library: what the command line does, as functions that return the same objects as `-o json`.

    import gpucloud

    cheapest = gpucloud.compare("A100:8", market="any")[0]["usd_per_hour"]
    with gpucloud.machine("train", gpu="T4", max_hours=2) as name:
        code = gpucloud.run("python", "train.py", on=name)["exit_code"]

Options are named as on the command line, with `_` for `-`; True is a bare flag, a list repeats the option. Nothing
is asked: what would be, is answered with yes only by the functions that say so. Errors are raised as
`gpucloud.GpucloudError` with `.code`, `.message`, `.hint` and `.exit_code`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gpucloud.core.errors import GpucloudError

Value = str | float | bool | Sequence[str] | None
Json = dict[str, Any]


def call(command: str, *words: str, **options: Value) -> Json:
    """Run one command and return its object. `command` may have two words ("catalog info").

    Raises GpucloudError (a subclass by cause). Not for two threads at once: the command line owns stdout meanwhile.
    """
    from gpucloud.cli import failure
    from gpucloud.cli.inside import printed
    from gpucloud.cli.options import reset

    passed = ["--", *words] if command in ("run",) and words else list(words)
    reset()
    try:
        text = printed([*command.split(), *_options(options), "-o", "json", "--no-input", *passed])
    except GpucloudError:
        raise
    except Exception as error:
        raise failure.explain(error) from error
    return _object(text, command)


def _options(options: dict[str, Value]) -> list[str]:
    words: list[str] = []
    for name, value in options.items():
        option = "--" + name.strip("_").replace("_", "-")
        if value is None or value is False:
            continue
        if value is True:
            words.append(option)
        elif isinstance(value, (str, int, float)):
            words.append(f"{option}={value}")
        else:
            words += [f"{option}={item}" for item in value]
    return words


def _object(text: str, command: str) -> Json:
    try:
        told: Json = json.loads(text)
    except ValueError:
        raise GpucloudError(f"`gpucloud {command}` tells no object.", "Use the command line for it.") from None
    return told


def gpus(*names: str) -> list[Json]:
    """Accelerators and their specs."""
    rows: list[Json] = call("gpus", *names)["accelerators"]
    return rows


def compare(*gpus: str, **options: Value) -> list[Json]:
    """Offers, cheapest first; see `gpucloud compare --help` for the options."""
    offers: list[Json] = call("compare", *gpus, **options)["offers"]
    return offers


def recommend(work: str, **options: Value) -> Json:
    """Ranked rent-or-own options for a piece of work: `options`, `picks`, `advice`, `rejected`."""
    return call("recommend", work=work, **options)


def estimate(kind: str, **options: Value) -> Json:
    """One of the calculators: train, memory, scaling, comm, spot, own, energy."""
    return call(f"estimate {kind}", **options)


def up(name: str | None = None, **options: Value) -> Json:
    """Provision, with yes to the plan; the deployment's object."""
    found: Json = call("up", *([name] if name else []), **{"yes": True, **options})["deployments"][0]
    return found


def ls(**options: Value) -> list[Json]:
    """Deployments: state, price, spent, time left."""
    rows: list[Json] = call("ls", **options)["deployments"]
    return rows


def run(*command: str, **options: Value) -> Json:
    """Sync the folder, run there, follow to stderr, pull; the run's object. Its `exit_code` is the command's own.

    A command that ends with another code than 0 is no error here.
    """
    found: Json = call("run", *command, **options)["runs"][0]
    return found


def cost(**options: Value) -> Json:
    """What was spent: `items` and `total_usd`."""
    return call("cost", **options)


def down(*names: str, **options: Value) -> Json:
    """Remove deployments; returns when nothing bills any more."""
    return call("down", *names, **{"yes": True, **options})


@contextmanager
def machine(name: str, **options: Value) -> Iterator[str]:
    """A deployment for the length of a `with` block; it goes down at the end, whatever happened in it."""
    up(name, **options)
    try:
        yield name
    finally:
        down(name)
