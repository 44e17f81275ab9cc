"""The question that `extend` asks: more than the budget pays for is never agreed to by --yes alone."""

import pytest

from gpucloud.cli import power
from gpucloud.core.budget import Overrun
from gpucloud.core.deployments import Deployment
from gpucloud.core.errors import StateConflict
from gpucloud.core.plan import Basis, ChangePlan, Extend


def planned(over: Overrun | None) -> ChangePlan:
    known = Deployment("train-aaaaaaaa", "train", created_at=0.0)
    return ChangePlan(known, Extend((), 7200.0), Basis("j", 1), over)


@pytest.fixture
def asked(monkeypatch):
    """The questions that reached a person, as (words, whether --yes answered them)."""
    questions = []
    monkeypatch.setattr(power, "confirm", lambda words, yes: questions.append((words, yes)))
    return questions


def test_within_the_budget_yes_is_enough(asked):
    power._agree(planned(None), "6h", yes=True)
    assert asked == [("Let train run 6h longer?", True)]


def test_beyond_the_budget_a_script_has_to_name_the_new_one(asked, monkeypatch):
    monkeypatch.setattr(power, "can_ask", lambda: False)
    with pytest.raises(StateConflict, match=r"up to 12\.4. USD in all; its budget is 10\.00 USD") as caught:
        power._agree(planned(Overrun(10.0, 12.405, 7200.0)), "6h", yes=True)
    assert "--budget 12.41" in caught.value.hint and asked == []


def test_beyond_the_budget_a_person_is_asked_even_with_yes(asked, monkeypatch):
    monkeypatch.setattr(power, "can_ask", lambda: True)
    power._agree(planned(Overrun(10.0, 12.405, 7200.0)), "6h", yes=True)
    assert asked == [("Raise the budget of train to 12.41 USD and let it run 6h longer?", False)]
