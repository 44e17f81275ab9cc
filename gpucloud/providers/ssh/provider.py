"""The `ssh` cloud: leases of GPUs on machines that you own, one small script per verb and host.

A machine of this cloud is a lease and a folder of ours on a host. The host itself is never switched, changed or
cleaned: `destroy` ends what we started there and removes what we made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from gpucloud.core.cloud import Endpoint, Guard, HostState, Identity, LaunchSpec, Resource, Scan
from gpucloud.core.errors import (
    AmbiguousError,
    BootstrapError,
    CapacityError,
    CloudError,
    CredentialsError,
    GpucloudError,
    HostKeyError,
    NotOffered,
    StateConflict,
    Unreachable,
    UsageError,
)
from gpucloud.core.names import is_deployment_id, owner_hash
from gpucloud.core.offers import Accelerator, Offer, places_of
from gpucloud.core.wire import Transport
from gpucloud.providers.site import Site
from gpucloud.providers.ssh.found import ACCOUNT, Told, folder_of, payload_of, resource_of, resources_on
from gpucloud.providers.ssh.inventory import Host, load
from gpucloud.providers.ssh.offers import CLOUD, groups_of, offers_of
from gpucloud.providers.ssh.script import GRACE_S, HostUnfit, Refused, ask, packed, script_text
from gpucloud.providers.ssh.sight import Sight, holders, parsed

LEASE_DIR_VARIABLE = "GPUCLOUD_LEASE_DIR"
AT_ONCE = 32
CAPACITY_HINT = "Wait for one with --wait-capacity 2h; `gpucloud check ssh` shows who holds what."
T = TypeVar("T")
S = TypeVar("S")


class NeverReached(BootstrapError):
    """The host could not be logged in to, so nothing was made there."""

    code = "unreachable"


class WrongHostKey(BootstrapError):
    """The host shows another key than the pinned one, or none is pinned; nothing was sent."""

    code = "host_key"


class WordsUnusable(BootstrapError):
    """The identity file of the inventory cannot be used, or the tags are too long; nothing was made."""

    code = "usage"
    exit_code = 2


class SshProvider:
    """The hosts of `<home>/hosts.yaml`."""

    name = CLOUD

    def __init__(self, site: Site) -> None:
        self._site = site

    @property
    def inventory_file(self) -> Path:
        """Where the hosts stand."""
        return self._site.root / "hosts.yaml"

    @cached_property
    def _hosts(self) -> Mapping[str, Host]:
        lease_dir = self._site.environ.get(LEASE_DIR_VARIABLE, "")
        listed = load(self.inventory_file, self._site.card or _any_card, lease_dir)
        return {host.name: host for host in listed}

    def identity(self) -> Identity:
        """Whoever owns this home; the host itself decides about each login."""
        if not self.inventory_file.exists():
            raise CredentialsError(
                f"There is no inventory {self.inventory_file}.",
                "Write your machines into it; `gpucloud up --cloud ssh` shows an example.",
            )
        count = len(self._hosts)
        owner = owner_hash(f"{CLOUD}:{self._site.home_id}")
        words = "1 host" if count == 1 else f"{count} hosts"
        return Identity(CLOUD, ACCOUNT, words, via=str(self.inventory_file), owner=owner)

    def offers(self) -> Sequence[Offer]:
        """Every host without a GPU and with each number of its GPUs; nobody is asked."""
        return offers_of(tuple(self._hosts.values()))

    def groups(self, offers: Sequence[Offer], nodes: int) -> Sequence[Offer]:
        """Several nodes are several hosts."""
        return groups_of(offers, nodes)

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]:
        """Deadline and idleness end runs and give the GPUs back. After a reboot only the deadline does."""
        survives = ("client_killed", "state_lost", "network_lost")
        armed = []
        if spec.deadline_epoch_s is not None:
            armed.append(Guard("in_machine_deadline", "end_runs", spec.deadline_epoch_s, (*survives, "reboot")))
        if _idle(spec):
            armed.append(Guard("in_machine_idle", "end_runs", None, survives))
        return armed

    # ---- the three verbs

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """Lease on every host of the offer, all or nothing; the same token finds what it has."""
        names = places_of(spec.offer.region)
        if len(names) != spec.nodes:
            raise NotOffered(f"{spec.nodes} nodes need {spec.nodes} hosts, not {spec.offer.region}.")
        hosts = [self._known(name, NotOffered) for name in names]
        work = list(enumerate(hosts))
        results = _on_all(work, lambda item: _caught(lambda: self._take(spec, *item)))
        errors = [result for result in results if isinstance(result, BaseException)]
        if not errors:
            return [result for result in results if isinstance(result, Resource)]
        for error in errors:
            if not isinstance(error, GpucloudError) or isinstance(error, AmbiguousError):
                raise error  # what became of it is not known: the caller looks, and sends the same token again
        taken = [host for host, result in zip(work, results, strict=True) if isinstance(result, Resource)]
        self._roll_back(spec, taken)
        raise min(errors, key=_weight)

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """Ask the hosts of these regions, or all, at once."""
        names = list(dict.fromkeys(name for region in regions or self._hosts for name in places_of(region)))
        answers = dict(zip(names, _on_all(names, self._seen), strict=True))
        silent = {name: answer for name, answer in answers.items() if isinstance(answer, str)}
        found = [
            item
            for name, answer in answers.items()
            if not isinstance(answer, str)
            for item in resources_on(self._hosts[name], *answer)
            if deployment_id in (None, item.deployment_id)
        ]
        asked = list(dict.fromkeys([*(regions or self._hosts), *(item.region for item in found)]))
        missing = {
            region: "; ".join(
                f"{name}: {silent.get(name, 'not asked')}"
                for name in places_of(region)
                if name not in answers or name in silent
            )
            for region in asked
        }
        scanned = tuple(region for region in asked if not missing[region])
        unscanned = {region: why.removeprefix(f"{region}: ") for region, why in missing.items() if why}
        return Scan(tuple(found), scanned, unscanned)

    def destroy(self, resource: Resource) -> None:
        """End our runs there, give the GPUs back, remove our folder."""
        if not is_deployment_id(resource.deployment_id):
            raise CloudError(f"'{resource.id}' is not one of our leases; nothing was touched.")
        host = self._known(resource.zone or resource.region, CloudError)
        self._free(host, resource.deployment_id, resource.rank or 0)

    # ---- rare abilities

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Move the end of the lease; what runs goes on."""
        host = self._known(resource.zone or resource.region, CloudError)
        rank = resource.rank or 0
        variables = {**self._names(host, resource.deployment_id, rank), "left": _left(deadline_epoch_s)}
        with _closing(self._dial(host)) as transport:
            try:
                ask(transport, self._script("extend", variables))
            except Refused as refusal:
                raise StateConflict(
                    f"The lease on {host.name} cannot be extended: {refusal}.", "See `gpucloud ls --refresh`."
                ) from None

    def hosts(self) -> Sequence[HostState]:
        """Every host with its GPUs and who uses them."""
        hosts = list(self._hosts.values())
        return [
            self._state(host, answer)
            for host, answer in zip(hosts, _on_all([h.name for h in hosts], self._seen), strict=True)
        ]

    def shown_gpus(self, resource: Resource) -> Sequence[str]:
        """The leased GPUs as the driver shows them, or as the inventory says where there is no driver."""
        host = self._known(resource.zone or resource.region, CloudError)
        answer = self._seen(host.name)
        if isinstance(answer, str):
            raise Unreachable(answer)
        sight, _ = answer
        folder = folder_of(resource.deployment_id, resource.rank or 0)
        leased = next((record.gpus for record in sight.records if record.dir == folder), ())
        return [f"GPU {gpu.index}: {gpu.name}" for gpu in sight.gpus(host) if gpu.index in leased]

    # ---- one host

    def _take(self, spec: LaunchSpec, rank: int, host: Host) -> Resource:
        payload = payload_of(spec, rank, host, time.time())
        try:
            packed_payload = packed(payload)
        except UsageError as error:
            raise WordsUnusable(error.message, error.hint) from None
        with _closing(self._logged_in(host)) as transport:
            sight, offer = self._first_look(transport, host), spec.offer
            eligible = self._eligible(host, sight, offer)
            variables = {
                **self._names(host, spec.deployment_id, rank),
                "token": f"{spec.token}-{rank}",
                "payload": packed_payload,
                "eligible": " ".join(f"{index}:{uuid}" for index, uuid in eligible),
                "want": str(int(offer.accelerator_count)),
                "left": _left(spec.deadline_epoch_s),
                "idle": _idle(spec),
                "smi": sight.driver,
            }
            try:
                answer = ask(transport, self._script("take", variables))
            except Refused as refusal:
                raise HostUnfit(f"{host.name} cannot be used: {refusal}.", _HINTS.get(refusal.kind, "")) from None
            if answer[:1] == ["full"]:
                raise _full(host, offer, replace(sight, leases=parsed(answer[1:]).leases), eligible)
            return resource_of(host, self._pinned(host, transport), Told.of(payload))

    def _eligible(self, host: Host, sight: Sight, offer: Offer) -> list[tuple[int, str]]:
        wanted = int(offer.accelerator_count)
        if not wanted:
            return []
        if sight.driver == "broken":
            raise HostUnfit(
                f"nvidia-smi fails on {host.name}: {sight.driver_says or 'it says nothing'}.", "Repair its driver."
            )
        eligible = sight.eligible(host, offer.accelerator)
        if len(eligible) < wanted:
            cards = ", ".join(sorted({name for _, name in sight.shown.values()})) or "no GPU"
            raise NotOffered(
                f"{host.name} has {len(eligible)} {offer.accelerator}, not {wanted}; nvidia-smi shows {cards} there.",
                f"Correct {self.inventory_file}.",
            )
        return eligible

    def _roll_back(self, spec: LaunchSpec, taken: Sequence[tuple[int, Host]]) -> None:
        """Nothing may be left of a group that is not whole."""
        if not taken:
            return
        for result in _on_all(taken, lambda item: _caught(lambda: self._free(item[1], spec.deployment_id, item[0]))):
            if isinstance(result, BaseException):
                raise AmbiguousError(f"A part of the lease could not be given back: {result}") from result

    def _free(self, host: Host, deployment_id: str, rank: int) -> None:
        with _closing(self._dial(host)) as transport:
            try:
                ask(transport, self._script("free", self._names(host, deployment_id, rank)))
            except Refused as refusal:
                raise CloudError(f"The lease on {host.name} is not gone yet: {refusal}.", "Run it again.") from None

    def _seen(self, name: str) -> tuple[Sight, Endpoint] | str:
        """A look at a host and its endpoint with the key it has shown, or why there is none."""
        host = self._hosts.get(name)
        if host is None:
            return f"it is not in {self.inventory_file} any more"
        try:
            with _closing(self._dial(host)) as transport:
                return self._look(transport, host), self._pinned(host, transport)
        except GpucloudError as error:
            return error.message.rstrip(".")

    def _first_look(self, transport: Transport, host: Host) -> Sight:
        """A look before anything is made: when its answer is lost, nothing is in doubt."""
        try:
            return self._look(transport, host)
        except AmbiguousError as error:
            raise NeverReached(f"{host.name} did not answer: {error.message}", "Try again.") from error

    def _look(self, transport: Transport, host: Host) -> Sight:
        try:
            return parsed(ask(transport, self._script("look", {**_NOBODY, "shelf": host.lease_dir})))
        except Refused as refusal:
            raise HostUnfit(f"{host.name} cannot be used: {refusal}.") from None

    def _dial(self, host: Host) -> Transport:
        if self._site.dial is None:
            raise CloudError("There is no way to open an SSH connection here.")
        return self._site.dial(host.endpoint)

    def _logged_in(self, host: Host) -> Transport:
        """A connection for a launch: an error says that nothing was made."""
        try:
            return self._dial(host)
        except HostKeyError as error:
            raise WrongHostKey(error.message, error.hint) from error
        except Unreachable as error:
            raise NeverReached(error.message, error.hint) from error
        except UsageError as error:
            raise WordsUnusable(f"{host.name}: {error.message}", error.hint) from error

    def _pinned(self, host: Host, transport: Transport) -> Endpoint:
        """The host's endpoint with the keys that were shown and fit their pins: plain ssh needs whole keys."""
        endpoint: Endpoint = getattr(transport, "endpoint", host.endpoint)
        key = getattr(transport, "host_key_line", endpoint.host_key)
        hops = tuple(self._hop(hop, endpoint.proxy_jump[:at]) for at, hop in enumerate(endpoint.proxy_jump))
        return replace(endpoint, host_key=key, proxy_jump=hops)

    def _hop(self, hop: Endpoint, before: tuple[Endpoint, ...]) -> Endpoint:
        if not hop.host_key.startswith("SHA256:") or self._site.dial is None:
            return hop
        with (
            suppress(GpucloudError),
            _closing(self._site.dial(replace(hop, proxy_jump=(*before, *hop.proxy_jump)))) as one,
        ):
            return replace(hop, host_key=getattr(one, "host_key_line", hop.host_key))
        return hop

    def _known(self, name: str, error: type[CloudError]) -> Host:
        host = self._hosts.get(name)
        if host is None:
            raise error(f"{name} is not in {self.inventory_file} any more.", "Write it into the file again.")
        return host

    def _names(self, host: Host, deployment_id: str, rank: int) -> dict[str, str]:
        return {**_NOBODY, "shelf": host.lease_dir, "id": deployment_id, "dir": folder_of(deployment_id, rank)}

    def _script(self, verb: str, variables: Mapping[str, str]) -> str:
        if self._site.templates is None:
            raise CloudError("The lease scripts are not part of this installation.")
        return script_text(self._site.templates, verb, variables)

    def _state(self, host: Host, answer: tuple[Sight, Endpoint] | str) -> HostState:
        if isinstance(answer, str):
            return HostState(host.name, False, answer)
        sight, _ = answer
        broken = f"nvidia-smi fails: {sight.driver_says}" if sight.driver == "broken" else ""
        return HostState(host.name, True, broken, sight.gpus(host))


_NOBODY = {"shelf": "", "id": "", "dir": "-", "token": "", "payload": "-", "grace": str(GRACE_S)}
_HINTS = {
    "shelf": "Let the machine's owner make it with `mkdir -m 1777`, or give another lease_dir in hosts.yaml.",
    "home": "The login user needs a home folder there that can be written to.",
    "taken": "Remove the deployment with `gpucloud down`, then try again.",
}


def _left(deadline_epoch_s: float | None) -> str:
    """Seconds until the deadline: hosts go by their own clock. Empty = never."""
    return "" if deadline_epoch_s is None else str(max(1, round(deadline_epoch_s - time.time())))


def _idle(spec: LaunchSpec) -> str:
    """Seconds without use after which the lease ends; empty = never. Several hosts could not decide together."""
    return "" if spec.idle_s is None or spec.nodes > 1 else str(max(1, round(spec.idle_s)))


def _full(host: Host, offer: Offer, sight: Sight, eligible: Sequence[tuple[int, str]]) -> CapacityError:
    numbers = {index for index, _ in eligible}
    taken = [gpu for gpu in sight.gpus(host) if gpu.index in numbers and gpu.state != "free"]
    free = len(numbers) - len(taken)
    return CapacityError(
        f"{host.name} has {free} of {int(offer.accelerator_count)} {offer.accelerator} free: {holders(taken)}.",
        CAPACITY_HINT,
    )


def _weight(error: BaseException) -> int:
    """The loudest of several errors first."""
    kinds = (WrongHostKey, WordsUnusable, HostUnfit, NeverReached, CapacityError)
    return next((at for at, kind in enumerate(kinds) if isinstance(error, kind)), len(kinds))


def _on_all(items: Sequence[S], work: Callable[[S], T]) -> list[T]:
    if len(items) <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))


def _caught(work: Callable[[], T]) -> T | BaseException:
    try:
        return work()
    except Exception as error:
        return error


class _closing:
    """Gives a connection back, whatever happens."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def __enter__(self) -> Transport:
        return self._transport

    def __exit__(self, *_: object) -> None:
        self._transport.close()


def _any_card(name: str) -> Accelerator:
    return Accelerator(name, name)
