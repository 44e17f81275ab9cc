"""How a command becomes one process per node: ranks and addresses in its environment, and torchrun's words."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpucloud.core.errors import UsageError

PYTHONS = ("python", "python3")
SHELL_MARKS = frozenset("|&;<>()$`\\\"'*?[]#~!{}\n")
FIRST_PORT, PORTS = 20000, 10000


@dataclass(frozen=True)
class World:
    """The nodes that take part in a run, in order of rank; `addresses` are those they reach each other by."""

    addresses: tuple[str, ...]
    gpus_per_node: int
    port: int

    @property
    def size(self) -> int:
        return len(self.addresses)


def rendezvous_port(run_id: str) -> int:
    """A port that belongs to this run: two runs on the same nodes do not meet."""
    return FIRST_PORT + zlib.crc32(run_id.encode()) % PORTS


def rank_environment(world: World, rank: int) -> dict[str, str]:
    """What a node's command finds in its environment."""
    return {
        "NODE_RANK": str(rank),
        "NNODES": str(world.size),
        "MASTER_ADDR": world.addresses[0],
        "MASTER_PORT": str(world.port),
        "GPUS_PER_NODE": str(world.gpus_per_node),
        "GPUCLOUD_NODE_IPS": " ".join(world.addresses),
    }


def price_environment(usd_per_hour: float | None, observed_on: str) -> dict[str, str]:
    """What a command finds about the price of its deployment: USD per hour of all nodes, as a plain decimal, and
    the day of that price. It is the price that `cost` counts with; nothing where none is known."""
    if usd_per_hour is None:
        return {}
    return {"GPUCLOUD_USD_PER_HOUR": f"{usd_per_hour:.6f}", "GPUCLOUD_PRICE_OBSERVED_ON": observed_on}


def launcher_words(launcher: str, command: str | Sequence[str], world: World, rank: int) -> tuple[str, ...]:
    """The words that go before the command; `auto` takes torchrun for a Python script on several nodes.

    With torchrun the command's own interpreter word is dropped: see `launched_command`.
    """
    if launcher == "none" or (launcher == "auto" and not (world.size > 1 and is_python(command))):
        return ()
    if not is_python(command):
        raise UsageError(
            "--launcher torchrun needs a command of the form `python SCRIPT …`.",
            "Give the words apart, without quotes around them all, or use --launcher none.",
        )
    return (
        *_gloo_words(world, rank),
        command[0],
        "-m",
        "torch.distributed.run",
        f"--nnodes={world.size}",
        f"--nproc_per_node={max(1, world.gpus_per_node)}",
        f"--node_rank={rank}",
        f"--master_addr={world.addresses[0]}",
        f"--master_port={world.port}",
    )


# Gloo talks over the address that the host's name leads to, and on many images that is a loopback one.
GLOO = """\
if [ -z "${GLOO_SOCKET_IFNAME:-}" ] && command -v ip >/dev/null; then
    found=$(ip -o address show to "$0" 2>/dev/null)
    found=${found#*: }; found=${found%%[ @]*}
    if [ -n "$found" ]; then export GLOO_SOCKET_IFNAME="$found"; fi
fi
exec "$@\""""


def _gloo_words(world: World, rank: int) -> tuple[str, ...]:
    """Words that let Gloo use the interface by which the nodes reach each other."""
    return ("/bin/sh", "-c", GLOO, world.addresses[rank]) if world.size > 1 else ()


def launched_command(words: Sequence[str], command: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """The command behind the launcher's words."""
    return tuple(command[1:]) if words and not isinstance(command, str) else command


def plain_words(command: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """Shell text that is nothing but the words of a Python script, as those words; everything else as it is.

    So `run: python train.py --lr 0.1` of a task file is launched like the same words on the command line.
    """
    if not isinstance(command, str) or set(command) & SHELL_MARKS:
        return command
    words = tuple(command.split())
    return words if is_python(words) else command


def is_python(command: str | Sequence[str]) -> bool:
    """Whether the command is the words of a Python script."""
    if isinstance(command, str) or len(command) < 2:
        return False
    return command[0].rsplit("/", 1)[-1] in PYTHONS and (command[1].endswith(".py") or command[1] == "-m")


def worst_exit(codes: Mapping[int, int | None]) -> int | None:
    """The exit code of a run on several nodes: None while one is not known, else the largest."""
    values = list(codes.values())
    known = [code for code in values if code is not None]
    return max(known) if known and len(known) == len(values) else None
