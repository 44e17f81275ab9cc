"""The layers of a task: flags over environment over gpucloud.yaml over config.yaml."""

from __future__ import annotations

import pytest

from gpucloud.cli import taskfile
from gpucloud.core.errors import UsageError


def test_precedence(tmp_path, monkeypatch):
    (tmp_path / "gpucloud.yaml").write_text("gpu: A100:8\nnodes: 2\nidle_min: 30\nrun: python train.py\n")
    config = tmp_path / "config.yaml"
    config.write_text("idle_min: 15\nmax_hours: 6\nmax_usd_per_hour: 40\n")
    monkeypatch.setenv("GPUCLOUD_NODES", "3")
    monkeypatch.setenv("GPUCLOUD_CLOUD", "aws,gcp")
    task = taskfile.load({"gpu": ("T4",)}, None, config, tmp_path)
    assert (task.gpu, task.nodes, task.clouds, task.idle_min) == (("T4",), 3, ("aws", "gcp"), 30.0)
    assert (task.max_hours, task.run) == (6.0, "python train.py")
    assert taskfile.cap_usd_per_hour(config) == 40.0


def test_without_any_file_the_defaults_hold(tmp_path):
    task = taskfile.load({}, None, tmp_path / "config.yaml", tmp_path)
    assert (task.max_hours, task.idle_min, task.nodes) == (24.0, 60.0, 1)
    assert taskfile.cap_usd_per_hour(tmp_path / "config.yaml") == 25.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gpus: A100\n", ("unknown key 'gpus'", "'gpu'")),
        ("run: [\n", ("line",)),
        ("- a\n", ("not a list of KEY",)),
        ("nodes: many\n", ("nodes",)),
        ("\x00", ("",)),
    ],
)
def test_a_bad_file_is_a_sentence(tmp_path, text, words):
    path = tmp_path / "gpucloud.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        taskfile.load({}, None, tmp_path / "config.yaml", tmp_path)
    for word in words:
        assert word in caught.value.message + caught.value.hint
    assert "gpucloud.yaml" in caught.value.message


def test_a_missing_file_that_was_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        taskfile.load({}, tmp_path / "no.yaml", tmp_path / "config.yaml", tmp_path)


def test_a_bad_variable_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUCLOUD_MAX_HOURS", "soon")
    with pytest.raises(UsageError, match="GPUCLOUD_MAX_HOURS"):
        taskfile.load({}, None, tmp_path / "config.yaml", tmp_path)
