"""Connections to the nodes of a deployment: opened in parallel, once each, closed together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from gpucloud.core.cloud import Endpoint, Resource
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import GpucloudError, StateConflict, UsageError
from gpucloud.core.wire import Transport

T = TypeVar("T")
Dial = Callable[[Endpoint], Transport]
MOST_AT_ONCE = 64


def usable(deployment: Deployment) -> Deployment:
    """The deployment, when commands can be run on it. Raises StateConflict with the step that helps."""
    if deployment.state == "ready" and deployment.machines:
        return deployment
    name = deployment.name
    again = f"Start it with `gpucloud start {name}`, or remove it with `gpucloud down`."
    lease = f"`gpucloud pull {name}` still brings its files; then `gpucloud down {name}`, and `up` for a new lease."
    hints = {
        "stopped": f"Start it with `gpucloud start {name}`.",
        "ended_by_guard": lease if deployment.lease_over else again,
        "down": "Make a new one with `gpucloud up`.",
        "creating": f"Run `gpucloud up {name}` again: it goes on where it was.",
    }
    hint = hints.get(deployment.state, "`gpucloud ls --refresh` shows what there is.")
    raise StateConflict(f"'{name}' is {deployment.state.replace('_', ' ')}, not ready.", hint)


def readable(deployment: Deployment) -> Deployment:
    """The deployment, when its logs and files can be read: also when its lease on a machine of your own has ended."""
    return deployment if deployment.lease_over and deployment.machines else usable(deployment)


@dataclass(frozen=True)
class Node:
    """One connected machine of a deployment."""

    rank: int
    resource: Resource
    transport: Transport


class Fleet:
    """Connections to some nodes of a deployment; use as a context manager."""

    def __init__(self, machines: Sequence[Resource], dial: Dial) -> None:
        self._machines, self._dial = machines, dial
        self.nodes: list[Node] = []

    def __enter__(self) -> Fleet:
        try:
            self.nodes = parallel(self._open, self._machines)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, resource: Resource) -> Node:
        rank = resource.rank or 0
        try:
            return Node(rank, resource, self._dial(endpoint_of(resource)))
        except GpucloudError as error:
            if len(self._machines) > 1:
                error.message = f"Node {rank}: {error.message}"
            raise

    def close(self) -> None:
        """Give all connections back."""
        for node in self.nodes:
            node.transport.close()


def endpoint_of(resource: Resource) -> Endpoint:
    """Where the machine answers. Raises StateConflict when it never told."""
    if resource.endpoint is None:
        raise StateConflict(f"{resource.name or resource.id} has no address.", "`gpucloud ls --refresh` asks for it.")
    return resource.endpoint


def node_of(deployment: Deployment, rank: int) -> Resource:
    """The machine of that rank."""
    machines = deployment.machines
    if rank >= len(machines):
        raise UsageError(f"'{deployment.name}' has no node {rank}.", f"Its nodes are 0 to {len(machines) - 1}.")
    return machines[rank]


def chosen(deployment: Deployment, nodes: str | int | None) -> tuple[Resource, ...]:
    """The machines meant by `--nodes`: all of them, or the first N."""
    machines = deployment.machines
    if nodes is None or nodes == "all":
        return machines
    try:
        count = int(nodes)
    except ValueError:
        raise UsageError(f"--nodes {nodes} is neither 'all' nor a number.", "Write --nodes all or --nodes 2.") from None
    if not 1 <= count <= len(machines):
        raise UsageError(f"'{deployment.name}' has {len(machines)} nodes, not {count}.", "Ask for fewer with --nodes.")
    return machines[:count]


def parallel(work: Callable[[T], Node], items: Sequence[T]) -> list[Node]:
    """`work` on every item at once; the first error is raised when all have ended, what succeeded is closed."""
    if len(items) == 1:
        return [work(items[0])]
    with ThreadPoolExecutor(min(MOST_AT_ONCE, max(1, len(items)))) as pool:
        futures = [pool.submit(work, item) for item in items]
    errors = [error for error in (future.exception() for future in futures) if error is not None]
    if errors:
        for future in futures:
            if future.exception() is None:
                future.result().transport.close()
        raise errors[0]
    return [future.result() for future in futures]
