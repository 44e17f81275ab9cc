"""The `local` cloud: machines that are folders of this home, each with an SSH server process of its own.

It keeps a cloud's promises: the tags are written before anything runs, a launch is known by its token,
`find` needs no journal, `destroy` ends everything the machine ever started.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gpucloud.core.cloud import TAG_DEADLINE, Endpoint, Guard, Identity, LaunchSpec, Resource, Scan
from gpucloud.core.errors import BootstrapError, CloudError, UsageError
from gpucloud.core.offers import Offer
from gpucloud.providers.local.boot import boot, log_tail, switch_off, wait_listening
from gpucloud.providers.local.environment import user_name
from gpucloud.providers.local.folder import (
    GRACE_S,
    LOG,
    MACHINE_ID,
    NOTICE_S,
    Folder,
    Record,
    machine_id,
    machines,
    make_folder,
    remove_folder,
)
from gpucloud.providers.local.processes import end_all

CLOUD = REGION = "local"
PRICE_VARIABLE = "GPUCLOUD_LOCAL_USD_PER_HOUR"
TAG_ENDED = "gpucloud-ended"  # of a found machine that a guard or `stop` ended: deadline, idle or stop
BIRTH_S = 30.0  # a machine younger than this whose server does not live yet is being launched


class LocalProvider:
    """Machines under `<root>/local/<machine-id>/`. `environ` may price an hour of this computer."""

    name = CLOUD

    def __init__(self, root: Path, environ: Mapping[str, str] | None = None) -> None:
        self.shelf = root / "local"
        self._environ = os.environ if environ is None else environ

    def identity(self) -> Identity:
        """This computer and the Unix user on it."""
        host = platform.node() or "localhost"
        principal = f"{user_name()}@{host}"
        owner = hashlib.sha256(principal.encode()).hexdigest()[:12]
        return Identity(CLOUD, host, principal, via="this computer", owner=owner)

    def offers(self) -> Sequence[Offer]:
        """This computer as one offer, with the GPUs that nvidia-smi shows."""
        from gpucloud.providers.local.gpus import local_gpus

        gpus = local_gpus()
        return (
            Offer(
                cloud=CLOUD,
                instance_type="local",
                accelerator=gpus.accelerator,
                accelerator_count=gpus.count,
                region=REGION,
                usd_per_hour=self._usd_per_hour(),
                gpu_memory_gib=gpus.memory_gib,
                vcpus=os.cpu_count(),
                memory_gib=_memory_gib(),
                arch={"aarch64": "arm64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine()),
                price_kind="own",
                availability="open",
                observed_on=time.strftime("%Y-%m-%d", time.gmtime()),
                age_days=0,
                provisionable=True,
                source="this computer",
            ),
        )

    def _usd_per_hour(self) -> float:
        text = self._environ.get(PRICE_VARIABLE, "") or "0"
        try:
            price = float(text)
        except ValueError:
            price = -1.0
        if not 0 <= price < float("inf"):
            raise UsageError(f"{PRICE_VARIABLE} is '{text}', not a price.", "Write USD per hour like 0.25.")
        return price

    def launch(self, spec: LaunchSpec) -> Sequence[Resource]:
        """Make and boot the machines, all or nothing, and wait until their servers listen (below a second)."""
        folders = [make_folder(self.shelf, _record(spec, rank), spec.proof_token) for rank in range(spec.nodes)]
        for folder in folders:
            if folder.ended() is None:  # one that a guard has ended meanwhile stays ended
                boot(folder)
        for folder in folders:
            if folder.ended() is None and not wait_listening(folder):
                why = log_tail(folder.path / LOG)
                for made in folders:
                    self._remove(made)
                raise BootstrapError(f"The local machine {folder.id} did not start: {why or 'no reason given'}.")
        return [self._resource(folder) for folder in folders]

    def find(self, deployment_id: str | None, regions: Sequence[str] = ()) -> Scan:
        """Every machine of this home, by what its folder says."""
        found = (self._resource(folder) for folder in machines(self.shelf))
        ours = tuple(item for item in found if deployment_id in (None, item.deployment_id))
        return Scan(ours, (REGION,))

    def destroy(self, resource: Resource) -> None:
        """End everything the machine started, then delete its folder."""
        folder = self._folder(resource)
        record = folder.record()
        theirs, claimed = record.deployment_id if record else "", resource.deployment_id
        if theirs and claimed and theirs != claimed:
            raise CloudError(f"{resource.id} belongs to {theirs}, not to {claimed}; it was left alone.")
        self._remove(folder)

    def stop(self, resource: Resource) -> None:
        """End its runs and its server; the folder stays."""
        folder = self._folder(resource)
        if folder.path.is_dir():
            switch_off(folder)

    def start(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Boot it again, under a new deadline and the same host key."""
        folder = self._folder(resource)
        self.extend(resource, deadline_epoch_s)
        boot(folder)
        if not wait_listening(folder):
            raise BootstrapError(f"The local machine {folder.id} did not start: {log_tail(folder.path / LOG)}.")

    def extend(self, resource: Resource, deadline_epoch_s: float | None) -> None:
        """Move the deadline; the machine looks at it every second."""
        folder = self._folder(resource)
        record = folder.record()
        if record is None:
            raise CloudError(f"There is no local machine {resource.id}.", "See `gpucloud ls --refresh`.")
        folder.write_record(_with_deadline(record, deadline_epoch_s))

    def guards(self, spec: LaunchSpec) -> Sequence[Guard]:
        """The machine's own two guards; nothing beyond this computer knows of it, and nothing bills."""
        survives = ("client_killed", "state_lost", "suspend")
        armed = []
        if spec.deadline_epoch_s is not None:
            armed.append(Guard("in_machine_deadline", spec.at_end, spec.deadline_epoch_s, survives))
        if spec.idle_s is not None:
            armed.append(Guard("in_machine_idle", spec.at_end, None, survives))
        return tuple(armed)

    def allow(self, deployment_id: str, cidrs: Sequence[str]) -> None:
        """Nothing to do: a local machine listens on the loopback address only."""

    def _folder(self, resource: Resource) -> Folder:
        if resource.cloud != CLOUD or not MACHINE_ID.fullmatch(resource.id):
            raise CloudError(f"'{resource.id}' is not the id of a local machine; nothing was touched.")
        return Folder(self.shelf / resource.id)

    def _remove(self, folder: Folder) -> None:
        try:
            end_all(folder)
        except TimeoutError as error:
            raise CloudError(f"Not everything of {folder.id} ends: {error}.", "Run `down` again.") from error
        remove_folder(folder)

    def _resource(self, folder: Folder) -> Resource:
        record = folder.record()
        state = _state(folder, record)
        ended = folder.ended() or {}
        blank = Resource(CLOUD, self.identity().account, REGION, "machine", folder.id, state=state)
        if record is None:
            return blank
        ended_tag = {TAG_ENDED: str(ended["reason"])} if "reason" in ended and state == "stopped" else {}
        return replace(
            blank,
            name=record.name,
            rank=record.rank,
            attempt=record.attempt,
            instance_type=record.instance_type,
            market=record.market,
            created_epoch_s=record.created_epoch_s,
            tags={**record.tags, **ended_tag},
            endpoint=self._endpoint(folder, record) if state == "running" else None,
            private_ip="127.0.0.1",
        )

    def _endpoint(self, folder: Folder, record: Record) -> Endpoint | None:
        server = folder.listening()
        if server is None:
            return None
        return Endpoint("127.0.0.1", int(server["port"]), record.user, dialect="embedded", base_dir=record.base_dir)


def _state(folder: Folder, record: Record | None) -> str:
    if folder.lives():
        return "running" if folder.listening() else "pending"
    if folder.ended():
        return "stopped"
    newborn = record is not None and time.time() - record.created_epoch_s < BIRTH_S and not folder.booted()
    return "pending" if newborn else "failed"


def _record(spec: LaunchSpec, rank: int) -> Record:
    return Record(
        id=machine_id(spec.token, rank),
        deployment_id=spec.deployment_id,
        name=spec.name,
        rank=rank,
        attempt=spec.attempt,
        tags=dict(spec.tags),
        public_key=spec.public_key,
        user=user_name(),
        created_epoch_s=time.time(),
        deadline_epoch_s=spec.deadline_epoch_s,
        idle_s=spec.idle_s,
        at_end=spec.at_end,
        grace_s=float(spec.options.get("grace_s", GRACE_S)),
        notice_s=float(spec.options.get("notice_s", NOTICE_S)),
        instance_type=spec.offer.instance_type,
        market=spec.offer.market,
    )


def _with_deadline(record: Record, deadline_epoch_s: float | None) -> Record:
    tags = {**record.tags}
    if deadline_epoch_s is None:
        tags.pop(TAG_DEADLINE, None)
    else:
        tags[TAG_DEADLINE] = str(int(deadline_epoch_s))
    return replace(record, deadline_epoch_s=deadline_epoch_s, tags=tags)


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    except (ValueError, OSError):
        return None
