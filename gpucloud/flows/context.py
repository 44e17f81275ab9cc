"""What every flow is given: the home, the journal, the clouds, the clock, and a voice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, runtime_checkable

from gpucloud.core.cloud import Endpoint, Identity, Provider, Resource
from gpucloud.core.deployments import SettlingRule
from gpucloud.core.errors import CredentialsError, UsageError
from gpucloud.core.wire import Transport
from gpucloud.providers import registry
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal


class Narrator(Protocol):
    """Says on stderr what is going on."""

    def __call__(self, sentence: str) -> None: ...


class Readiness(Protocol):
    """How a machine is proved to be ours and as ordered. Every call is one bounded try."""

    def prove(self, resource: Resource, proof_token: str, deployment_id: str) -> str:
        """The host key line it proved. Unreachable or HostKeyError: not ready yet."""
        ...

    def gpus(self, resource: Resource) -> Sequence[str]:
        """The lines of `nvidia-smi -L` on a proved machine; empty where there is none."""
        ...

    def greet(self, resource: Resource) -> None:
        """Connect against the pinned key. Unreachable: not yet; HostKeyError: fatal."""
        ...

    def set_deadline(self, resource: Resource, deployment_id: str, deadline_epoch_s: float | None) -> bool:
        """Move the end that the machine has inside itself; whether a guard lives there. HostError: not moved."""
        ...

    def remember(self, name: str, deployment_id: str, nodes: Sequence[Resource]) -> None:
        """Let plain `ssh NAME` reach the nodes, strictly checked."""
        ...

    def forget(self, name: str, deployment_id: str) -> None:
        """Undo `remember`; safe to repeat."""
        ...


@runtime_checkable
class Introduces(Protocol):
    """A readiness that can tell a node who the other nodes of its deployment are."""

    def introduce(self, resource: Resource, deployment_id: str, peers: Sequence[str]) -> bool:
        """Tell it the private addresses of the others. HostError: it was not told."""
        ...


@dataclass(frozen=True)
class Waits:
    """Every waiting time, in seconds; the environment's `GPUCLOUD_WAIT_…` changes one (tests shorten them)."""

    settle_gap: float = 60.0  # between the first and the last empty look
    settle_quiet: float = 900.0  # from the last possible sending to the last empty look
    settle: float = 90.0  # how long `down` itself waits for a request to settle
    destroy: float = 600.0  # until removed things are confirmed to be gone
    destroy_again: float = 30.0  # before the same removal is asked for again
    silent: float = 30.0  # for regions that do not answer
    lock: float = 60.0  # for a running `up` to let go
    throttle: float = 300.0  # of "too many requests" for one attempt
    change: float = 600.0  # until a machine has stopped or started
    gpus: float = 120.0  # for a GPU driver to load
    poll: float = 0.2  # first pause between two looks; grows to poll_max
    poll_max: float = 5.0
    capacity: float = 60.0  # between two rounds of --wait-capacity
    cooling: float = 600.0  # for which a place without capacity is left for last
    cloud: float = 60.0  # for everything that one cloud is asked in one go
    quotas: float = 2.0  # for the clouds to tell their quotas before a launch

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Waits:
        """The defaults, changed by variables such as `GPUCLOUD_WAIT_SETTLE_QUIET=5`."""
        found = {spec.name: environ.get(f"GPUCLOUD_WAIT_{spec.name.upper()}") for spec in fields(cls)}
        return replace(cls(), **{name: _seconds(name, text) for name, text in found.items() if text})

    @property
    def settling(self) -> SettlingRule:
        return SettlingRule(2, self.settle_gap, self.settle_quiet)


def _seconds(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(
            f"GPUCLOUD_WAIT_{name.upper()}={text} is not a number of seconds.",
            f"Write it like export GPUCLOUD_WAIT_{name.upper()}=5.",
        ) from None


class Clouds:
    """The drivers, opened once each, and who we are there, asked once each.

    `opened` are drivers that the caller brings; with `only` there are no others (rehearsals).
    """

    def __init__(self, site: Site, opened: Mapping[str, Provider] | None = None, *, only: bool = False) -> None:
        self._site, self._only = site, only
        self._opened: dict[str, Provider] = dict(opened or {})
        self._identities: dict[str, Identity] = {}
        self._asking: dict[str, threading.Lock] = {}

    def open(self, name: str) -> Provider:
        """The driver of that cloud. Raises UsageError for one that is not known."""
        if name not in self._opened:
            self._opened[name] = registry.open_provider(name, self._site)
        return self._opened[name]

    def usual(self) -> tuple[str, ...]:
        """The clouds to ask when nobody says which."""
        others = () if self._only else registry.usual_clouds(self._site)
        return tuple(dict.fromkeys((*self._opened, *others)))

    def identity(self, name: str) -> Identity:
        """Who we are at that cloud, asked once whichever thread is first. Raises CredentialsError."""
        with self._asking.setdefault(name, threading.Lock()):
            if name not in self._identities:
                self._identities[name] = self.open(name).identity()
            return self._identities[name]

    def of_account(self, name: str, account: str) -> Provider:
        """The driver, when it speaks for that account; else CredentialsError that names the right one."""
        identity = self.identity(name)
        if account and identity.account != account:
            raise CredentialsError(
                f"This was made with account {account} of {name}, but the credentials now are for {identity.account}.",
                f"Use the credentials of {account}, then repeat; `gpucloud check {name}` tells which are found.",
            )
        return self.open(name)


@dataclass(frozen=True)
class Context:
    """The outside of a flow; tests give their own clock, sleep, clouds and readiness."""

    home: Home
    journal: Journal
    clouds: Clouds
    readiness: Readiness
    public_key: Callable[[], str]  # the user's, made when there is none
    narrate: Narrator = lambda sentence: None
    waits: Waits = field(default_factory=Waits)
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[int], bytes] = os.urandom
    dial: Callable[[Endpoint], Transport] | None = None  # a pinned connection; None: machines are never connected to
    own_address: Callable[[], str] | None = None  # this computer's, as the internet sees it
    ask_remove: Callable[[str], bool] = lambda question: True  # after Ctrl-C in `up`; --no-input: yes
    status: Narrator = lambda sentence: None  # what is waited for now, for a live line; empty: nothing

    @contextmanager
    def waiting(self, sentence: str) -> Iterator[None]:
        """All that happens inside is one wait, told by `status`; what is inside may tell more exactly."""
        self.status(sentence)
        try:
            yield
        finally:
            self.status("")
