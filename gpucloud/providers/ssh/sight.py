"""What one look at a host shows: its GPUs, who holds them until when, and our own deployments there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.cloud import GpuState
from gpucloud.core.units import iso_utc
from gpucloud.providers.ssh.inventory import Host
from gpucloud.providers.ssh.script import GRACE_S, unpacked

_SHOWN = re.compile(r"GPU (\d+): (.+?) \(UUID: ([A-Za-z0-9-]+)\)")
_VARIANTS = {"ti", "super", "maxq", "max", "ada", "d", "laptop"}  # words that make another card of the one before


@dataclass(frozen=True)
class Lease:
    """The newest entry of one GPU's chain. Times are the host's epoch seconds; `until` 0 = no end."""

    index: int
    uid: str
    state: str
    until: int
    since: int
    user: str
    uuid: str
    deployment: str
    token: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    def live(self, now: int) -> bool:
        """Whether it keeps others out. An entry that cannot be read does: unknown is busy."""
        return self.state != "free" and not (self.state == "held" and 0 < self.until <= now - GRACE_S)


@dataclass(frozen=True)
class Record:
    """A deployment's folder on the host: `whole` once it has all its GPUs."""

    dir: str
    whole: bool
    until: int
    ended: str
    token: str
    payload: Mapping[str, Any]
    gpus: tuple[int, ...]


@dataclass(frozen=True)
class Sight:
    """A host at one moment. `driver` is yes, no or broken; `shown` maps the driver's numbers to (uuid, name)."""

    now: int = 0
    uid: str = ""
    driver: str = "no"
    driver_says: str = ""
    shown: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    apps: Mapping[str, str] = field(default_factory=dict)  # uuid → the process that computes there, in words
    leases: Mapping[int, Lease] = field(default_factory=dict)
    records: tuple[Record, ...] = ()

    def eligible(self, host: Host, accelerator: str) -> list[tuple[int, str]]:
        """(number, uuid) of the GPUs of that kind: the driver's where there is one, else the inventory's."""
        if self.driver == "no":
            return [(index, "-") for index in host.indexes(accelerator)]
        taken = {lease.uuid: index for index, lease in self.leases.items() if lease.live(self.now)}
        return [
            (index, uuid)
            for index, (uuid, name) in sorted(self.shown.items())
            if is_card(name, accelerator) and taken.get(uuid, index) == index  # numbers move when a card drops out
        ]

    def gpus(self, host: Host) -> tuple[GpuState, ...]:
        """Every GPU of the host and how it stands."""
        if self.driver == "no":
            names = [item.card.name for item in host.gpus for _ in range(item.count)]
            known = {index: ("-", name) for index, name in enumerate(names)}
        else:
            known = dict(self.shown)
        return tuple(self._gpu(index, *known[index]) for index in sorted(known))

    def _gpu(self, index: int, uuid: str, name: str) -> GpuState:
        lease = self.leases.get(index)
        if lease is not None and lease.live(self.now):
            until = float(lease.until) if lease.until else None
            by = (
                lease.user
                if lease.state == "held"
                else f"something that is no lease, of the user with number {lease.uid}"
            )
            return GpuState(index, name, "leased", by, lease.deployment, float(lease.since), until)
        if uuid in self.apps:
            return GpuState(index, name, "busy", self.apps[uuid])
        return GpuState(index, name, "free")


def parsed(lines: Iterable[str]) -> Sight:
    """A look's lines as a value; lines that cannot be understood (a newer version's, or forged) are left out."""
    notes = _Notes()
    for line in lines:
        word, _, rest = line.partition(" ")
        with suppress(ValueError, IndexError):
            notes.take(word, rest)
    return Sight(
        notes.now, notes.uid, notes.driver, notes.says, notes.shown, notes.apps, notes.leases, tuple(notes.records)
    )


class _Notes:
    """A look line by line."""

    def __init__(self) -> None:
        self.now, self.uid, self.driver, self.says = 0, "", "no", ""
        self.shown: dict[int, tuple[str, str]] = {}
        self.apps: dict[str, str] = {}
        self.leases: dict[int, Lease] = {}
        self.records: list[Record] = []

    def take(self, word: str, rest: str) -> None:
        """One line. Raises ValueError or IndexError for one that is not as it should be."""
        parts = rest.split(" ")
        if word == "now":
            self.now, self.uid = int(parts[0]), parts[1]
        elif word == "smi":
            self.driver = parts[0]
        elif word == "smi-says":
            self.says = rest
        elif word == "shown" and (match := _SHOWN.match(rest)):
            self.shown[int(match[1])] = (match[3], match[2])
        elif word == "app":
            self.apps[parts[0]] = f"process {parts[1]}" + (f" of {parts[2]}" if parts[2] != "-" else "")
        elif word == "top":
            lease = _lease(parts)
            self.leases[lease.index] = lease
        elif word == "record":
            self.records.append(_record(parts))


def _lease(parts: Sequence[str]) -> Lease:
    index, uid, state, until, since, user, uuid, deployment, token, payload = [*parts, *["-"] * 10][:10]
    return Lease(
        int(index), uid, state, _number(until), _number(since), user, uuid, deployment, token, unpacked(payload)
    )


def _record(parts: Sequence[str]) -> Record:
    name, whole, until, ended, token, payload, gpus = [*parts, ""][:7]
    numbers = tuple(int(text) for text in gpus.split(",") if text.isdigit())
    return Record(
        name, whole == "yes", _number(until), "" if ended == "-" else ended, token, unpacked(payload), numbers
    )


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0


def is_card(driver_name: str, accelerator: str) -> bool:
    """Whether `NVIDIA GeForce RTX 3090` is an RTX3090, and not the RTX3090TI that begins like it."""
    family = re.sub(r"-(SXM|PCIE|NVL|SERVER|WS|[0-9]+GB).*", "", accelerator.upper()).casefold().replace("-", "")
    words = [word for word in re.split(r"[^a-z0-9]+", driver_name.casefold()) if word != "with"]
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            if "".join(words[start:end]) == family and not set(words[end : end + 1]) & _VARIANTS:
                return True
    return False


def holders(gpus: Iterable[GpuState]) -> str:
    """`GPU 0 is held by alice (train-k3v2abcd) until 2026-…; GPU 1 is busy with process 12 of bob`."""
    return "; ".join(_holder(gpu) for gpu in gpus if gpu.state != "free")


def _holder(gpu: GpuState) -> str:
    if gpu.state == "busy":
        return f"GPU {gpu.index} is busy with {gpu.by}"
    until = f"until {iso_utc(gpu.until_epoch_s)}" if gpu.until_epoch_s is not None else "without an end"
    return f"GPU {gpu.index} is held by {gpu.by} ({gpu.deployment}) {until}"
