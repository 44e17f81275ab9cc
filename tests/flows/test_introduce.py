"""Nodes of one deployment learn of each other, so that idleness ends all of them or none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gpucloud.core.errors import Unreachable
from tests.flows.conftest import FakeReadiness, ReachableFake


@dataclass
class Introducing(FakeReadiness):
    """A readiness that notes who was told what; some ranks cannot be told."""

    told: dict[int, list[str]] = field(default_factory=dict)
    mute: tuple[int, ...] = ()  # told, but without a way to tell the others

    def introduce(self, resource, deployment_id, peers):
        if resource.rank in self.deaf:
            raise Unreachable("connection refused.")
        self.told[resource.rank] = list(peers)
        return resource.rank not in self.mute


class WithAddresses(ReachableFake):
    """Its machines have private addresses as well."""

    def _addressed(self, item):
        return replace(super()._addressed(item), private_ip=f"10.0.0.{(item.rank or 0) + 1}")


def prepared(stage, **words):
    stage.readiness = Introducing(**words)
    stage.provider = WithAddresses(stage.store, clock=stage.clock, sleep=stage.clock.sleep)
    stage.context()
    return stage


def test_every_node_is_told_of_the_others(stage):
    prepared(stage).up(nodes=3)
    assert stage.readiness.told == {
        0: ["10.0.0.2", "10.0.0.3"],
        1: ["10.0.0.1", "10.0.0.3"],
        2: ["10.0.0.1", "10.0.0.2"],
    }


def test_one_node_has_nobody_to_know(stage):
    prepared(stage).up()
    assert stage.readiness.told == {}


def test_a_node_that_cannot_be_told_does_not_spoil_the_launch(stage):
    deployment = prepared(stage, deaf=(1,)).up(nodes=2)
    assert deployment.state == "ready"
    assert any("idleness will not end" in said for said in stage.said)


def test_a_node_that_cannot_speak_is_said(stage):
    assert prepared(stage, mute=(1,)).up(nodes=2).state == "ready"
    assert any("idleness will not end this deployment, its deadline will" in said for said in stage.said)


def test_without_an_idle_guard_nobody_is_told(stage):
    prepared(stage).up(nodes=2, idle_s=None)
    assert stage.readiness.told == {}
