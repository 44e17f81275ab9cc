"""The policy on the page is what the driver needs: every action it calls, and no other."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from gpucloud.core.errors import PermissionDenied
from gpucloud.providers import aws
from tests.providers.aws.conftest import DEPLOYMENT, make_offer, make_spec

PAGE = Path(__file__).parents[3] / "docs" / "clouds" / "aws.md"
PREFIX = {"service-quotas": "servicequotas"}


def of_page() -> set[str]:
    text = re.search(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)
    actions = set()
    for statement in json.loads(text)["Statement"]:
        found = statement["Action"]
        actions |= {found} if isinstance(found, str) else set(found)
    return actions


def of_source() -> set[str]:
    """Every operation that a call in the driver names; calls through `_call` and `_one` are EC2's."""
    actions = set()
    for path in Path(aws.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            words = [word.value for word in node.args if isinstance(word, ast.Constant) and isinstance(word.value, str)]
            if node.func.attr in ("call", "pages") and len(words) >= 2:
                operation = words[1] if words[1][0].isupper() else words[2]
                actions.add(f"{PREFIX.get(words[0], words[0])}:{operation}")
            elif node.func.attr in ("_call", "_one") and words:
                actions.add(f"ec2:{words[0]}")
    return actions


def test_the_page_and_the_source_agree_in_both_directions():
    assert of_source() == of_page()


def test_everything_works_with_the_policy_alone_and_uses_all_of_it(sim, driver):
    sim.granted = of_page()
    offer = driver.places(make_offer(zone=""), {})[0]
    assert driver.quotas(("us-east-1",))
    spec = make_spec(sim.clock(), offer, nodes=2, options={"alarm": "yes"})
    nodes = driver.launch(spec)
    driver.stop(nodes[0])
    driver.start(nodes[0], spec.deadline_epoch_s + 600)
    driver.extend(nodes[0], spec.deadline_epoch_s + 1200)
    driver.extend(nodes[1], None)
    driver.allow(DEPLOYMENT, ("198.51.100.0/24",))
    sim.volume("us-east-1a", spec.tags)
    for kind in ("machine", "volume", "alarm", "security-group"):
        for thing in driver.find(None).resources:
            if thing.kind == kind:
                driver.destroy(thing)
    assert sim.left() == []
    used = {f"{ {'monitoring': 'cloudwatch'}.get(service, service) }:{operation}" for service, operation in sim.used}
    assert used == of_page()


def test_an_action_that_is_not_granted_is_named(sim, driver, spec):
    sim.granted = of_page() - {"ec2:RunInstances"}
    with pytest.raises(PermissionDenied) as caught:
        driver.launch(spec)
    assert "RunInstances" in caught.value.message and "aws.md" in caught.value.hint and sim.left() == []
