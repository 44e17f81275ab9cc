"""The task file's fields: types, precedence, and an answer to every mistake."""

from __future__ import annotations

import pytest

from gpucloud.core.errors import UsageError
from gpucloud.core.task import FIELDS, FLAGS, Sync, Task, parse_fields, settle


def test_every_field_of_the_contract_is_there():
    contract = (
        "name gpu clouds regions market nodes image disk_gib max_hours budget_usd idle_min at_end ssh_from "
        "setup env_from sync run env secrets launcher pull tags"
    )
    assert list(FIELDS) == contract.split()


def test_values_arrive_in_their_types():
    parsed = parse_fields(
        {
            "gpu": ["A100:8", "H100:8"],
            "clouds": "aws, gcp",
            "max_hours": "90m",
            "nodes": "2",
            "sync": {"path": "src", "exclude": ["data/"]},
            "env": {"SEED": 1, "EMPTY": None},
            "disk_gib": 200,
        },
        "gpucloud.yaml",
    )
    assert parsed == {
        "gpu": ("A100:8", "H100:8"),
        "clouds": ("aws", "gcp"),
        "max_hours": 1.5,
        "nodes": 2,
        "sync": Sync("src", ("data/",)),
        "env": {"SEED": "1", "EMPTY": ""},
        "disk_gib": 200,
    }


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        ({"gpus": "A100"}, "'gpu'"),
        ({"sync": {"pth": "."}}, "'path'"),
        ({"nodes": 0}, "nodes"),
        ({"nodes": "two"}, "nodes"),
        ({"market": "cheap"}, "on-demand, spot, any"),
        ({"max_hours": "soon"}, "max_hours"),
        ({"budget_usd": -1}, "budget_usd"),
        ({"budget_usd": "nan"}, "budget_usd"),
        ({"name": "Big_Name"}, "Big_Name"),
        ({"env": ["A=1"]}, "KEY: value"),
        ({"run": True}, "run"),
        ({"tags": {"gpucloud-home": "x"}}, "gpucloud-"),
        ({"sync": 3}, "sync"),
    ],
)
def test_every_mistake_is_a_sentence(raw, word):
    with pytest.raises(UsageError) as caught:
        parse_fields(raw, "gpucloud.yaml")
    assert word in caught.value.message + caught.value.hint
    assert "gpucloud.yaml" in caught.value.message or "sync" in caught.value.message


def test_the_strongest_layer_wins_and_environments_join():
    flags = {"gpu": ("T4",), "env": {"A": "flag"}}
    file = {"gpu": ("A100",), "env": {"A": "file", "B": "file"}, "nodes": 2, "max_usd_per_hour": 9}
    task = settle(flags, {}, file, {"nodes": 4, "idle_min": 5.0})
    assert (task.gpu, task.env, task.nodes, task.idle_min) == (("T4",), {"A": "flag", "B": "file"}, 2, 5.0)
    assert settle() == Task()


@pytest.mark.parametrize("name", ["", "9lives", "a" * 32, "a_b", "Ab", "a\n"])
def test_names_that_are_refused(name):
    with pytest.raises(UsageError):
        parse_fields({"name": name}, "gpucloud.yaml")


@pytest.mark.parametrize(
    ("key", "value", "typed", "in_a_file"),
    [
        ("name", "A_B", "'A_B' is not a name for a deployment.", "x.yaml: 'A_B' is not a name for a deployment."),
        ("max_hours", "5q", "--max-hours '5q' is not a length", "x.yaml: max_hours '5q' is not a length"),
        ("nodes", "two", "--nodes cannot be 'two': it has to be a whole number.", "x.yaml: nodes cannot be 'two'"),
        ("budget_usd", "x", "--budget cannot be 'x': it has to be a number", "x.yaml: budget_usd cannot be 'x'"),
    ],
)
def test_a_wrong_value_is_said_once_and_by_the_name_that_was_typed(key, value, typed, in_a_file):
    for where, sentence in ((FLAGS, typed), ("x.yaml", in_a_file)):
        with pytest.raises(UsageError) as caught:
            parse_fields({key: value}, where)
        assert caught.value.message.startswith(sentence) and caught.value.hint
        assert caught.value.message.count(f"'{value}'") == 1
