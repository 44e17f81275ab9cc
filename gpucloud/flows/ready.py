"""From launched to ready: every node proves its host key, and shows the GPUs that were ordered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gpucloud.core.cloud import Resource, ShowsGpus
from gpucloud.core.deployments import Attempt, Deployment
from gpucloud.core.errors import BootstrapError, CapacityError, HostKeyError, ThrottledError, Unreachable, WaitTimeout
from gpucloud.core.events import Draft
from gpucloud.core.offers import Offer
from gpucloud.core.records import resource_record
from gpucloud.core.units import show_duration
from gpucloud.flows.context import Context
from gpucloud.flows.letting_in import changed_address
from gpucloud.flows.looks import look
from gpucloud.flows.pace import Pace

WITHOUT_NVIDIA_SMI = ("tpu", "radeon", "mi", "gaudi", "trainium", "inferentia", "neuron")
NODES_AT_ONCE = 16


def make_ready(ctx: Context, deployment_id: str, timeout_s: float, check: Callable[[], None]) -> None:
    """Wait until the current attempt's nodes are proved and as ordered, then write `deployment_ready`.

    `check` is called between tries and may raise. WaitTimeout when the proof does not come in time,
    CapacityError when the cloud takes a machine back meanwhile, BootstrapError when the GPUs are wrong.
    """
    end = ctx.clock() + timeout_s
    _prove_all(ctx, deployment_id, end, check)
    deployment = ctx.journal.present().deployments[deployment_id]
    attempt = deployment.current
    assert attempt is not None
    if reachable(ctx, attempt):
        _check_gpus(ctx, attempt.offer, deployment.machines, end, check)
        ctx.readiness.remember(deployment.name, deployment.id, deployment.machines)
    check()
    ctx.journal.append(Draft("deployment_ready", deployment_id, {"attempt": attempt.number}))
    ctx.home.proof_file(deployment_id, attempt.number).unlink(missing_ok=True)


def reachable(ctx: Context, attempt: Attempt) -> bool:
    """Whether machines of that cloud can be connected to at all (simulated ones may not)."""
    return getattr(ctx.clouds.open(attempt.cloud), "reachable", True)


def _prove_all(ctx: Context, deployment_id: str, end: float, check: Callable[[], None]) -> None:
    pace, reason, progress = Pace(ctx), "the machine is not running yet", Progress(ctx)
    silent = ""  # why a machine did not prove itself in the last round: it may be gone by now
    while True:
        check()
        wait_s = 0.0
        try:
            attempt = _refreshed(ctx, deployment_id, again=bool(silent))
            silent = _one_round(ctx, deployment_id, attempt)
            reason = silent or reason
        except ThrottledError as error:
            wait_s, reason = error.retry_after_s, error.message
        if _all_there(ctx, deployment_id):
            return
        if ctx.clock() + wait_s >= end:
            hint = changed_address(ctx, ctx.journal.present().deployments[deployment_id]) or _TIMEOUT_HINT
            raise WaitTimeout(f"The machine was not ready in time: {reason}.".replace("..", "."), hint)
        progress.say(f"{_missing(ctx, deployment_id)} not ready yet: {reason}")
        pace.pause(wait_s)


def _missing(ctx: Context, deployment_id: str) -> str:
    deployment = ctx.journal.present().deployments[deployment_id]
    keys = deployment.current.host_keys if deployment.current else {}
    waiting = [machine for machine in deployment.machines if (machine.rank or 0) not in keys]
    return _nodes(len(waiting) or len(deployment.machines), len(deployment.machines))


_TIMEOUT_HINT = "Allow more time with --timeout 30m, or look at the address that SSH is open to (--ssh-from)."


def _all_there(ctx: Context, deployment_id: str) -> bool:
    deployment = ctx.journal.present().deployments[deployment_id]
    attempt = deployment.current
    assert attempt is not None
    running = all(attempt.states.get(item.id) == "running" for item in deployment.machines)
    proved = set(attempt.host_keys) >= {item.rank or 0 for item in deployment.machines}
    return running and (proved or not reachable(ctx, attempt))


def _refreshed(ctx: Context, deployment_id: str, again: bool) -> Attempt:
    """The attempt with addresses and states as the cloud tells them, where something is missing, or `again`."""
    deployment = ctx.journal.present().deployments[deployment_id]
    attempt = deployment.current
    assert attempt is not None
    machines = deployment.machines
    if not again and all(item.endpoint and attempt.states.get(item.id) == "running" for item in machines):
        return attempt
    seen = look(ctx, deployment)
    found = {item.id: item for item in seen.of_attempt(attempt)}
    _refuse_lost(attempt, [item for item in machines if seen.answered(attempt)], found)
    known = [item for item in found.values() if item.kind == "machine"]
    states = {item.id: item.state for item in known}
    if known and (states != dict(attempt.states) or any(item.endpoint for item in known)):
        data = {"attempt": attempt.number, "states": states, "resources": [resource_record(i) for i in found.values()]}
        ctx.journal.append(Draft("nodes_seen", deployment_id, data))
    current = ctx.journal.present().deployments[deployment_id].current
    assert current is not None
    return current


def _refuse_lost(attempt: Attempt, machines: Sequence[Resource], found: dict[str, Resource]) -> None:
    for machine in machines:
        state = (
            found[machine.id].state if machine.id in found else ("gone" if machine.id in attempt.seen else "pending")
        )
        if state in ("preempted", "gone", "failed", "stopped", "stopping"):
            word = {"preempted": "taken back", "gone": "gone"}.get(state, state)
            raise CapacityError(f"The machine {machine.id} was {word} while it was starting.")


def _one_round(ctx: Context, deployment_id: str, attempt: Attempt) -> str:
    """Try every node that has an address and no proof yet; the newest reason why one is not ready."""
    waiting = [
        item
        for item in attempt.resources
        if item.kind == "machine" and item.endpoint and (item.rank or 0) not in attempt.host_keys
    ]
    if not waiting or not reachable(ctx, attempt):
        return ""
    unpinned = any(not node.endpoint.host_key for node in waiting if node.endpoint)
    token = _token(ctx, deployment_id, attempt) if unpinned else ""
    with ThreadPoolExecutor(min(NODES_AT_ONCE, len(waiting))) as pool:
        answers = list(pool.map(lambda node: _try_proof(ctx, node, token, deployment_id), waiting))
    proved = [
        Draft("node_proved", deployment_id, {"attempt": attempt.number, "rank": node.rank or 0, "host_key": key})
        for node, (key, _) in zip(waiting, answers, strict=True)
        if key
    ]
    if proved:
        ctx.journal.append(*proved)
    return next((reason for _, reason in answers if reason), "")


def _try_proof(ctx: Context, node: Resource, token: str, deployment_id: str) -> tuple[str, str]:
    try:
        if node.endpoint is not None and node.endpoint.host_key:  # its driver knows the key: an own machine
            ctx.readiness.greet(node)
            return node.endpoint.host_key, ""
        return ctx.readiness.prove(node, token, deployment_id), ""
    except (Unreachable, HostKeyError) as error:
        return "", error.message.rstrip(".")


def _token(ctx: Context, deployment_id: str, attempt: Attempt) -> str:
    try:
        return ctx.home.proof_file(deployment_id, attempt.number).read_text()
    except FileNotFoundError:
        raise BootstrapError(
            "The one-time token of this machine is gone, so it cannot prove itself.",
            "It is removed; `gpucloud up` makes a new one.",
        ) from None


def _check_gpus(
    ctx: Context, offer: Offer, machines: Sequence[Resource], end: float, check: Callable[[], None]
) -> None:
    """Raise BootstrapError when a machine does not show the GPUs of its offer.

    A driver may still be loading: the answer counts after `waits.gpus`, or at the end of the time for all.
    """
    if not expects_nvidia(offer):
        return
    pace, begun = Pace(ctx), ctx.clock()
    end, wrong = min(end, begun + ctx.waits.gpus), list(machines)
    progress = Progress(ctx)
    while True:
        check()
        with ThreadPoolExecutor(min(NODES_AT_ONCE, len(wrong))) as pool:
            told = list(pool.map(lambda machine: _mismatch(ctx, offer, machine), wrong))
        wrong, reasons = [m for m, reason in zip(wrong, told, strict=True) if reason], [r for r in told if r]
        if not wrong:
            return
        if ctx.clock() >= end:
            hint = "Another --image may help."
            raise BootstrapError(f"{offer.instance_type} in {offer.region} {reasons[0]}.", hint)
        progress.say(f"{_nodes(len(wrong), len(machines))} not as ordered yet: it {reasons[0]}")
        pace.pause()


def _mismatch(ctx: Context, offer: Offer, machine: Resource) -> str:
    try:
        provider = ctx.clouds.open(machine.cloud)
        shown = provider.shown_gpus(machine) if isinstance(provider, ShowsGpus) else ctx.readiness.gpus(machine)
        return gpu_mismatch(offer, shown)
    except Unreachable as error:
        return f"does not say which GPUs it has: {error.message.rstrip('.')}"


def expects_nvidia(offer: Offer) -> bool:
    """Whether `nvidia-smi -L` must show something there."""
    named = offer.accelerator.casefold()
    return bool(named) and offer.accelerator_count > 0 and not named.startswith(WITHOUT_NVIDIA_SMI)


def gpu_mismatch(offer: Offer, shown: Sequence[str]) -> str:
    """What is wrong, in words that follow the machine's name; empty when it is as ordered.

    A part of a card counts as one; the family (`A100` of `A100-SXM-80GB`) must be in every line.
    """
    expected = math.ceil(offer.accelerator_count)
    if len(shown) != expected:
        return f"shows {len(shown)} GPUs instead of {expected}"
    family = offer.accelerator.split("-")[0].casefold()
    wrong = [line for line in shown if family not in line.casefold().replace(" ", "")]
    return f"shows '{wrong[0]}' instead of {offer.accelerator}" if wrong else ""


def greet_all(ctx: Context, deployment: Deployment, timeout_s: float) -> None:
    """After a start: wait until all nodes answer with their pinned keys again. HostKeyError is fatal."""
    pace, end, silent = Pace(ctx), ctx.clock() + timeout_s, list(deployment.machines)
    progress = Progress(ctx)
    while silent:
        with ThreadPoolExecutor(min(NODES_AT_ONCE, len(silent))) as pool:
            told = list(pool.map(lambda machine: _greeted(ctx, machine), silent))
        silent, reasons = [m for m, why in zip(silent, told, strict=True) if why], [why for why in told if why]
        if silent and ctx.clock() >= end:
            raise WaitTimeout(
                f"{silent[0].name or silent[0].id} does not answer: {reasons[0]}",
                changed_address(ctx, deployment) or f"`gpucloud start {deployment.name}` waits for it again.",
            )
        if silent:
            progress.say(f"{_nodes(len(silent), len(deployment.machines))} not back yet: {reasons[0]}")
            pace.pause()


def _greeted(ctx: Context, machine: Resource) -> str:
    try:
        ctx.readiness.greet(machine)
    except Unreachable as error:
        return error.message
    return ""


def _nodes(waiting: int, of: int) -> str:
    return "The machine is" if of == 1 else f"{waiting} of {of} machines are"


class Progress:
    """Says what is being waited for: as the status at once, as a sentence after ten seconds and every half minute."""

    FIRST_S, AGAIN_S = 10.0, 30.0

    def __init__(self, ctx: Context) -> None:
        self._ctx, self._begun = ctx, ctx.clock()
        self._next = self._begun + self.FIRST_S

    def say(self, sentence: str) -> None:
        """Say it when it is time to."""
        self._ctx.status(sentence)
        now = self._ctx.clock()
        if now >= self._next:
            self._ctx.narrate(f"{sentence.rstrip('.')} ({show_duration(now - self._begun)}).")
            self._next = now + self.AGAIN_S
