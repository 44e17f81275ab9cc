"""The table of commands: name, where it lives, one line of help. Nothing is imported until a command is used."""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One command. `module` is below `gpucloud.cli`; `passes_words` hands words after the first one on as they are.

    `passes_options` also takes options that are not its own as words.
    """

    module: str
    function: str
    help: str
    passes_words: bool = False
    passes_options: bool = False


Group = dict[str, Entry]

CATALOG: Group = {
    "info": Entry("catalog", "info", "What is in the catalog, and how old it is."),
    "check": Entry("catalog", "check", "Test the catalog against the data rules."),
    "refresh": Entry("catalog_refresh", "refresh", "Live prices from the clouds' own price lists."),
    "import": Entry("catalog_import", "import_", "Your own prices, benchmarks and machines."),
    "history": Entry("catalog_history", "history", "What a GPU or an instance type cost over time."),
}

ESTIMATE: Group = {
    "train": Entry("estimate", "train", "Time, utilisation and cost of a training run."),
    "memory": Entry("estimate", "memory", "Memory that a model needs per GPU, and whether it fits."),
    "scaling": Entry("estimate", "scaling", "Speed-up and efficiency from measured points."),
    "comm": Entry("estimate", "comm", "Time to exchange gradients over a link."),
    "spot": Entry("estimate", "spot", "Checkpoint interval and effective price of spot machines."),
    "own": Entry("estimate", "own", "Cost of owning, and when it beats renting."),
    "energy": Entry("estimate", "energy", "Energy, its price and its carbon."),
}

REPORT: Group = {
    "compare": Entry("report", "compare", "The offers of `compare` as a page.", passes_options=True),
    "recommend": Entry("report", "recommend", "The options of `recommend` as a page.", passes_options=True),
    "cost": Entry("report", "cost", "What was spent, as a page.", passes_options=True),
}

SECTIONS: dict[str, dict[str, Entry | tuple[str, Group]]] = {
    "Choose": {
        "gpus": Entry("gpus", "gpus", "Accelerators and their specs."),
        "compare": Entry("compare", "compare", "Offers as a table, cheapest first."),
        "throughput": Entry("throughput", "throughput", "What a card does on a model, measured or predicted."),
        "recommend": Entry("recommend", "recommend", "Ranked rent-or-own options for a piece of work, with reasons."),
        "report": ("A page to look at and to share, or a single picture.", REPORT),
        "estimate": ("The single formulas as a calculator.", ESTIMATE),
        "catalog": ("What the catalog holds, and its data rules.", CATALOG),
    },
    "Machines": {
        "check": Entry("check", "check", "Which clouds can be used, and as whom."),
        "init": Entry("init", "init", "Copy a commented gpucloud.yaml to start from."),
        "up": Entry("up", "up", "Plan, show, confirm and provision machines."),
        "ls": Entry("ls", "ls", "Deployments: state, hourly price, spent so far, time left."),
        "stop": Entry("power", "stop", "Switch a deployment off and keep its disk."),
        "start": Entry("power", "start", "Switch a stopped deployment on again."),
        "extend": Entry("power", "extend", "Give a deployment more time."),
        "allow": Entry("allow", "allow", "Open SSH to a new address."),
        "down": Entry("down", "down", "Remove deployments; ends when nothing bills any more."),
        "gc": Entry("gc", "gc", "Find and remove what bills without an owner."),
        "cost": Entry("cost", "cost", "What was spent, by deployment and run."),
    },
    "Work": {
        "run": Entry("run", "run", "Sync the folder, run a command there, follow it, pull its outputs.", True),
        "ps": Entry("ps", "ps", "Runs and their state."),
        "logs": Entry("logs", "logs", "The log of a run."),
        "wait": Entry("wait", "wait", "Wait for a run and return its exit code."),
        "cancel": Entry("cancel", "cancel", "End a run."),
        "exec": Entry("exec", "exec_", "Run a command on a machine and see its output.", True),
        "ssh": Entry("ssh", "ssh", "Open a shell on a machine.", True),
        "push": Entry("push", "push", "Copy a folder to a machine."),
        "pull": Entry("pull", "pull", "Copy files from a machine."),
        "bench": Entry("bench", "bench", "Measure what a machine does on a model."),
        "forward": Entry("forward", "forward", "Make a machine's port reachable here."),
    },
}


def find(name: str) -> Entry | tuple[str, Group] | None:
    """The entry of a top-level command, None when there is none."""
    return next((section[name] for section in SECTIONS.values() if name in section), None)


def names() -> list[str]:
    """All top-level commands in the order of the help page."""
    return [name for section in SECTIONS.values() for name in section]
