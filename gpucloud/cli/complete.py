"""What a shell completes: live names of deployments and runs, GPUs, clouds, regions, models and templates.

Nothing here may fail, write, or ask a network: a completion that cannot be made is empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

VARIABLE = "_GPUCLOUD_COMPLETE"  # set by the shell's completion script
SCRIPT_OPTIONS = {"--install-completion", "--show-completion"}
REGISTERS = "\ncompdef %(complete_func)s %(prog_name)s\n"
ANSWERS_OR_REGISTERS = """
if [[ $funcstack[1] == _%(prog_name)s ]]; then
  %(complete_func)s "$@"
else
  compdef %(complete_func)s %(prog_name)s
fi
"""


def asked() -> bool:
    """Whether this process only completes a line."""
    return VARIABLE in os.environ


def answer_the_first_tab() -> None:
    """Typer's script for zsh only registers itself when it is loaded, at a session's first TAB; ours answers too."""
    from typer import _completion_shared

    scripts = getattr(_completion_shared, "_completion_scripts", {})
    scripts["zsh"] = scripts.get("zsh", "").replace(REGISTERS, ANSWERS_OR_REGISTERS)


def attach(command: Any, name: str) -> None:
    """Give the command's parameters the completions of their names."""
    for param in command.params:
        source = OF_COMMAND.get((name, param.name)) or OF_PARAM.get(param.name)
        if source is not None:
            param._custom_shell_complete = _completer(source)


def _completer(source: Callable[[], Iterable[str]]) -> Callable[[Any, Any, str], list[Any]]:
    def complete(ctx: Any, param: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        before, comma, last = incomplete.rpartition(",")
        with suppress(Exception):
            words = sorted({word for word in source() if word.casefold().startswith(last.casefold())})
            return [CompletionItem(f"{before}{comma}{word}") for word in words]
        return []

    return complete


def _present() -> Any:
    from gpucloud.cli.outside import home
    from gpucloud.state.journal import Journal

    place = home()
    if not place.state_db.exists():  # opening would make one
        return None
    journal = Journal.open(place)
    try:
        return journal.present()
    finally:
        journal.close()


def deployments() -> list[str]:
    """Names of what is not down."""
    present = _present()
    return [deployment.name for deployment in present.live] if present else []


def runs() -> list[str]:
    """Ids of runs, and the names that mean the newest."""
    present = _present()
    return [run.id for run in present.runs] + deployments() if present else []


def _catalog(read: Callable[[Any], Iterable[str]]) -> Callable[[], list[str]]:
    def words() -> list[str]:
        from gpucloud.catalog.catalog import open_catalog
        from gpucloud.cli.outside import home

        place = home()
        with open_catalog(place.catalog, place.cache) as catalog:
            return list(read(catalog))

    return words


def _gpus(catalog: Any) -> Iterable[str]:
    cards = catalog.accelerators()
    return {*(card.name for card in cards), *(card.family for card in cards)}


def _own_clouds() -> list[str]:
    from gpucloud.providers.registry import known_clouds

    return list(known_clouds())


def _templates() -> list[str]:
    from gpucloud.remote.scripts import template_dir

    shelf = template_dir() / "tasks"
    return [path.stem for path in shelf.iterdir() if path.suffix == ".yaml" or path.is_dir()]


def _words(*words: str) -> Callable[[], list[str]]:
    return lambda: list(words)


gpus, clouds = _catalog(_gpus), _catalog(lambda catalog: catalog.clouds())
regions, models = _catalog(lambda catalog: catalog.regions()), _catalog(lambda catalog: catalog.model_names())
instance_types = _catalog(lambda catalog: (kind.instance_type for kind in catalog.instance_types()))
OF_PARAM: dict[str | None, Callable[[], Iterable[str]]] = {
    "name": deployments,
    "names": deployments,
    "on": deployments,
    "run": runs,
    "gpu": gpus,
    "gpus": gpus,
    "cloud": clouds,
    "clouds": clouds,
    "region": regions,
    "model": models,
    "instance_type": instance_types,
    "template": _templates,
    "market": _words("on-demand", "spot", "any"),
    "precision": _words("fp32", "tf32", "fp16", "bf16", "fp8", "mixed"),
    "output": _words("table", "wide", "json", "csv", "markdown"),
    "sort": _words("price", "gpu-price", "work-price", "throughput"),
    "at_end": _words("stop", "delete"),
}
OF_COMMAND: dict[tuple[str, str | None], Callable[[], Iterable[str]]] = {
    ("gpus", "names"): gpus,
    ("history", "names"): gpus,
    ("refresh", "clouds"): _words("aws", "azure", "gcp", "lambda"),
    ("check", "clouds"): _own_clouds,
    ("up", "cloud"): _own_clouds,
    ("run", "cloud"): _own_clouds,
    ("exec", "words"): deployments,
    ("ssh", "words"): deployments,
    ("extend", "words"): deployments,
    ("bench", "gpus"): _words(),
}
