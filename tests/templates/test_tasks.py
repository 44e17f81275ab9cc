"""The task folders of `gpucloud init`: each is valid, gives a plan here and on the clouds, and is tried on `local`.

A try takes a Python that has the template's libraries: the one of the tests, or one of those named in
GPUCLOUD_TEST_TORCH_PYTHON (several with `:` between them). Where none has them, the try is skipped and says what
is missing.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from gpucloud.core.task import FIELDS, SYNC_FIELDS, Task, parse_fields, settle

SHELF = Path(__file__).parents[2] / "templates" / "tasks"
TASKS = sorted(path.parent.name for path in SHELF.glob("*/gpucloud.yaml"))
ASKED_FOR = {
    "pytorch", "pytorch-ddp", "lightning", "huggingface", "keras", "jax", "horovod", "jupyter", "tensorboard",
    "mlflow", "wandb", "conda", "pip-tools", "resume", "demo",
}  # fmt: skip
# Read before the fixtures take the GPUCLOUD_… variables away.
PYTHONS = [sys.executable, *filter(None, os.environ.get("GPUCLOUD_TEST_TORCH_PYTHON", "").split(os.pathsep))]
NEEDS = {
    "pytorch": ("torch",),
    "pytorch-ddp": ("torch",),
    "resume": ("torch",),
    "pip-tools": ("numpy",),
    "huggingface": ("torch", "transformers", "accelerate"),
    "lightning": ("torch", "lightning"),
    "jax": ("jax",),
    "keras": ("keras", "tensorflow"),
    "tensorboard": ("torch", "tensorboard"),
    "mlflow": ("torch", "mlflow"),
    "wandb": ("torch", "wandb"),
    "horovod": ("torch", "horovod"),
    "jupyter": ("torch", "jupyterlab"),
}
TRAINED = [name for name in NEEDS if name not in ("jupyter",)]
PORTS = {"TENSORBOARD_PORT"}
QUIET = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "WANDB_API_KEY": "x" * 40, "NO_COLOR": "1"}


@functools.cache
def modules_of(python: str, names: tuple[str, ...]) -> frozenset[str]:
    """Which of the modules this Python can find."""
    asked = f"import importlib.util as u; print(*[n for n in {names!r} if u.find_spec(n)])"
    done = subprocess.run([python, "-c", asked], capture_output=True, text=True, timeout=60)
    return frozenset(done.stdout.split())


def python_for(name: str) -> Path:
    """A Python with the template's libraries; skips, naming what is missing, when there is none."""
    needed = NEEDS[name]
    for python in PYTHONS:
        if modules_of(python, needed) == set(needed):
            return Path(python)
    missing = min((set(needed) - modules_of(python, needed) for python in PYTHONS), key=len)
    pytest.skip(f"template {name} not tried: no Python here has {' and '.join(sorted(missing))}")


def raw(name: str) -> dict:
    return yaml.safe_load((SHELF / name / "gpucloud.yaml").read_text())


def on_clouds(text: str) -> str:
    """The task file as its comment says for a GPU: the lines above `clouds: [local]` in place of it."""
    before, found, after = text.partition("clouds: [local]\n")
    lines = before.splitlines(keepends=True)
    at = len(lines)
    while lines[at - 1].startswith("#") and re.match(r"#[a-z_]+: ", lines[at - 1]):
        at -= 1
    assert found and at < len(lines), "no lines for the clouds above `clouds: [local]`"
    return "".join([*lines[:at], *(line[1:] for line in lines[at:])]) + after


class Place:
    """A folder with a template in it, and a home."""

    def __init__(self, folder: Path, home: Path, python: Path | None = None) -> None:
        self.folder = folder
        path = os.environ["PATH"] if python is None else f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        self.environ = {**os.environ, **QUIET, "GPUCLOUD_HOME": str(home), "PATH": path}

    def __call__(self, *words: str, code: int | None = 0, **environ: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "gpucloud", *words], cwd=self.folder, env={**self.environ, **environ},
            capture_output=True, text=True, timeout=240, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Whatever was brought up there is down afterwards."""
    made = Place(tmp_path / "work", tmp_path / "home")
    made.folder.mkdir()
    yield made
    if (tmp_path / "home").exists():
        made("down", "--all", "--yes")


def test_all_that_people_ask_for_is_there():
    assert set(TASKS) >= ASKED_FOR


@pytest.mark.parametrize("name", TASKS)
def test_it_is_a_task_of_its_own_name_with_guards_and_a_command(name):
    assert set(raw(name)) <= set(FIELDS) and set(raw(name)["sync"]) <= set(SYNC_FIELDS)
    task = settle(parse_fields(raw(name), name))
    assert task.name == name and task.run and task.pull
    assert 0 < task.max_hours <= 24 and 0 < task.idle_min <= 60, "a template that could bill for long"
    if task.env_from not in ("auto", "none"):
        assert (SHELF / name / task.env_from).is_file()
    assert not any(secret in task.env for secret in task.secrets), "a secret with a value in the file"


@pytest.mark.parametrize("name", TASKS)
def test_what_its_command_runs_is_in_the_folder(name):
    for word in re.findall(r"\b[\w-]+\.(?:py|sh)\b", raw(name)["run"]):
        assert (SHELF / name / word).is_file(), word
    for script in (SHELF / name).glob("*.sh"):
        assert subprocess.run(["sh", "-n", str(script)]).returncode == 0


@pytest.mark.parametrize("name", TASKS)
def test_its_scripts_are_python_that_explains_itself(name):
    for script in (SHELF / name).glob("*.py"):
        code = compile(script.read_text(), script.name, "exec")
        assert code.co_consts and isinstance(code.co_consts[0], str) and len(code.co_consts[0]) > 40


@pytest.mark.parametrize("name", sorted(set(TASKS) - {"demo"}))
def test_the_lines_for_a_gpu_are_a_task_for_the_clouds(name):
    text = on_clouds((SHELF / name / "gpucloud.yaml").read_text())
    task = settle(parse_fields(yaml.safe_load(text), name))
    assert task.gpu and task.clouds == ("aws", "gcp", "azure")
    here = settle(parse_fields(raw(name), name))
    assert (here.clouds, here.gpu) == (("local",), Task().gpu)


@pytest.mark.parametrize("name", TASKS)
def test_init_copies_it_and_up_has_a_plan(name, tmp_path, monkeypatch, capsys):
    from gpucloud.cli.app import main

    monkeypatch.chdir(tmp_path)
    assert main(["init", name]) == 0
    copied = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    there = {path.relative_to(SHELF / name).as_posix() for path in (SHELF / name).rglob("*") if path.is_file()}
    assert copied == {path for path in there if "__pycache__" not in path}
    capsys.readouterr()
    assert main(["up", "--dry-run", "-f", "gpucloud.yaml", "-o", "json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["order"][0]["cloud"] == "local" and plan["worst_case_usd"] == 0


@pytest.mark.parametrize("name", ["pytorch", "pytorch-ddp", "resume", "horovod"])
def test_the_lines_for_a_gpu_give_a_plan_without_credentials(name, tmp_path, monkeypatch, capsys):
    from gpucloud.cli.app import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpucloud.yaml").write_text(on_clouds((SHELF / name / "gpucloud.yaml").read_text()))
    code = main(["up", "--dry-run", "--ssh-from", "203.0.113.7/32", "-o", "json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    plan = json.loads(said.out)["plan"]
    assert plan["order"] and {offer["cloud"] for offer in plan["order"]} <= {"aws", "gcp", "azure"}
    assert all(offer["accelerator_count"] >= 1 for offer in plan["order"]) and plan["worst_case_usd"] > 0


def test_the_lock_has_what_the_code_asks_for_with_hashes_and_no_other_index():
    lock = (SHELF / "pip-tools" / "requirements.lock").read_text()
    asked = [line for line in (SHELF / "pip-tools" / "requirements.in").read_text().splitlines() if line[0] != "#"]
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\", lock, re.MULTILINE))
    for line in asked:
        assert re.match(r"[a-z0-9-]+", line).group() in pinned  # type: ignore[union-attr]
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}", lock)) >= 20 * len(pinned), "wheels are missing"
    assert not re.search(r"^(-i|--index|--extra|--find|--trusted)|https?:", lock, re.MULTILINE)


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def prepare(place: Place, name: str) -> Place:
    """The template copied, and its machine, whose `python` has the libraries."""
    there = Place(place.folder, Path(place.environ["GPUCLOUD_HOME"]), python_for(name))
    there("init", name)
    there("up", "--yes", GPUCLOUD_LOCAL_USD_PER_HOUR="18")
    return there


def run_words(name: str) -> list[str]:
    """Words for `gpucloud run`, so that the template's own command is tried without its downloads."""
    kept = {key: QUIET[key] for key in ("OMP_NUM_THREADS", "WANDB_MODE")}
    kept |= {key: free_port() for key in PORTS}
    words = ["run", "--env-from", "none", *(f"--env={key}={value}" for key, value in kept.items())]
    return [*words, "--setup", "true"] if raw(name).get("setup") else words


@pytest.mark.parametrize("name", TRAINED)
def test_it_is_tried_on_local_with_its_own_command(name, place):
    there = prepare(place, name)
    done = there(*run_words(name))
    metrics = json.loads((there.folder / "out" / "metrics.json").read_text())
    assert metrics["test_accuracy"] > 0.75 and metrics.get("run") == f"{name}/1", done.stdout
    if name in ("pytorch-ddp", "horovod"):
        assert metrics["processes"] == 2
    if name == "tensorboard":
        assert list((there.folder / "out" / "logs" / "tensorboard-1").glob("events.out.tfevents.*"))
    if name in ("mlflow", "wandb"):
        link = (there.folder / "out" / "run-link.txt").read_text().strip()
        assert link == metrics["link"] and link in done.stdout
        assert 0 < metrics["usd"] < 18 * 240 / 3600
    if name == "wandb":
        assert list((there.folder / "out" / "wandb").glob("offline-run-*/run-*.wandb"))
        assert QUIET["WANDB_API_KEY"] not in done.stdout + done.stderr


@pytest.mark.parametrize("name", ["lightning", "huggingface"])
def test_a_second_run_goes_on_from_the_checkpoint(name, place):
    there = prepare(place, name)
    there(*run_words(name), "python", "train.py", "--epochs", "2")
    again = there(*run_words(name), "python", "train.py", "--epochs", "3")
    if name == "lightning":
        assert re.findall(r"epoch +(\d)/3", again.stdout) == ["3"]
    else:
        assert re.findall(r"'eval_loss'.*'epoch': '?([\d.]+)'?", again.stdout)[0] in ("3", "3.0")


def test_a_tracking_server_gets_the_run_its_cost_and_a_link_that_opens(place):
    """A real MLflow server on this machine."""
    there = prepare(place, "mlflow")
    server, store = f"http://127.0.0.1:{free_port()}", there.folder.parent / "store"
    store.mkdir()
    words = [str(python_for("mlflow")), "-m", "mlflow", "server", "--workers", "1", "--port", server.rpartition(":")[2]]
    words += ["--backend-store-uri", f"sqlite:///{store}/runs.db", "--artifacts-destination", str(store)]
    with (store / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=store, stdout=log, stderr=log, start_new_session=True)
    try:
        answer(f"{server}/health", 240)
        more = ["--env", f"MLFLOW_TRACKING_URI={server}", "--env", "MLFLOW_TRACKING_USERNAME=me"]
        secret = {"MLFLOW_TRACKING_PASSWORD": "not-for-the-records"}
        words = [*run_words("mlflow"), *more, "--secret", *secret, "python train.py --epochs 3"]
        there(*words, **secret)
        found = json.loads((there.folder / "out" / "metrics.json").read_text())
        assert answer(found["link"], 10) and found["link"].startswith(f"{server}/#/experiments/")
        asked = f"{server}/api/2.0/mlflow/runs/get?run_id={found['link'].rpartition('/')[2]}"
        data = json.loads(answer(asked, 10))["run"]["data"]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    values = {item["key"]: item["value"] for item in data["metrics"]}
    tags = {item["key"]: item["value"] for item in data["tags"]}
    assert values["usd"] == pytest.approx(found["usd"]) and values["test_accuracy"] == found["test_accuracy"]
    assert (tags["gpucloud.run"], tags["gpucloud.usd_per_hour"]) == ("mlflow/1", "18.000000")
    kept = b"".join(file.read_bytes() for file in (there.folder.parent / "home").rglob("*") if file.is_file())
    assert b"not-for-the-records" not in kept


def test_through_goes_on_where_a_cut_off_training_was(place):
    """The process is told to end in the middle, as a machine that goes down does; the next machine goes on.

    The first training is too long to end before it is told to, at any speed; the next one is short.
    """
    there = prepare(place, "resume")
    options = " ".join(run_words("resume")[1:]) + " --env EPOCHS --env LEAST_EPOCH_S"
    command, told = there.folder / "bin", there.folder.parent / "told-to-end"
    command.mkdir()
    (command / "gpucloud").write_text(
        f'#!/bin/sh\nif [ -e "{told}" ]; then EPOCHS=60 LEAST_EPOCH_S=0; else EPOCHS=1000 LEAST_EPOCH_S=1; fi\n'
        f'export EPOCHS LEAST_EPOCH_S\nexec "{sys.executable}" -m gpucloud "$@"\n'
    )
    (command / "gpucloud").chmod(0o755)
    environ = {**there.environ, "RUN_OPTIONS": options, "EVERY_S": "1", "TRIES": "3"}
    environ["PATH"] = f"{command}{os.pathsep}{environ['PATH']}"
    with (there.folder / "through.log").open("w+") as log:
        through = subprocess.Popen(["sh", "through.sh"], cwd=there.folder, env=environ, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 120
            while not re.search(r"^epoch +2/1000", (there.folder / "through.log").read_text(), re.MULTILINE):
                assert time.monotonic() < until and through.poll() is None, (there.folder / "through.log").read_text()
                time.sleep(0.2)
            told.touch()
            there("exec", "resume", "--", "sh", "-c", "kill -TERM $(pgrep -f '^python train.py$' | head -n 1)")
            code = through.wait(120)
        finally:
            if through.poll() is None:
                through.terminate()
                through.wait(60)
    said = (there.folder / "through.log").read_text()
    assert code == 0 and "told to end" in said and "cut off with 75" in said, said
    metrics = json.loads((there.folder / "out" / "metrics.json").read_text())
    went_on = metrics["went_on_after_epoch"]
    assert went_on >= 2 and len(metrics["loss"]) == 60
    epochs = [int(number) for number in re.findall(r"^epoch +(\d+)/", said, re.MULTILINE)]
    assert epochs == list(range(1, 61)), said


def test_a_training_that_was_cut_off_ends_with_the_same_weights(tmp_path):
    python = python_for("resume")
    script = str(SHELF / "resume" / "train.py")
    environ = {**os.environ, **QUIET}

    def train(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(python), script, "--samples", "1024", *words]
        return subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)

    train("--epochs", "4", "--out", "whole")
    train("--epochs", "2", "--out", "parts")  # ends with 1: not yet good
    assert "going on after epoch 2" in train("--epochs", "4", "--out", "parts").stdout
    same = "import sys, torch; a, b = (torch.load(p)['model'] for p in sys.argv[1:]); "
    same += "assert all(torch.equal(a[n], b[n]) for n in a) and a.keys() == b.keys()"
    paths = [str(tmp_path / folder / "checkpoint.pt") for folder in ("whole", "parts")]
    assert subprocess.run([str(python), "-c", same, *paths]).returncode == 0


def test_jupyter_answers_through_forward_to_those_with_the_token(place):
    there = prepare(place, "jupyter")
    port, token = free_port(), "a-token-for-this-test"
    there(*run_words("jupyter"), "--detach", "--env", f"JUPYTER_PORT={port}", JUPYTER_TOKEN=token)
    here = free_port()
    words = [sys.executable, "-m", "gpucloud", "forward", "jupyter", f"{here}:{port}"]
    forward = subprocess.Popen(words, env=there.environ, cwd=there.folder, stderr=subprocess.DEVNULL)
    try:
        listed = answer(f"http://127.0.0.1:{here}/api/contents?token={token}", 240)
        assert [item["name"] for item in json.loads(listed)["content"]] == ["first.ipynb"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://127.0.0.1:{here}/api/contents", timeout=10)
        assert refused.value.code == 403
        refused.value.close()
    finally:
        forward.terminate()
        forward.wait(30)
    there("cancel", "jupyter", "--yes")
    assert token not in there("logs", "jupyter", code=None).stdout


def answer(url: str, wait_s: float) -> bytes:
    """What the page says, as soon as somebody answers."""
    until = time.monotonic() + wait_s
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as page:
                return bytes(page.read())
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def test_the_first_notebook_learns(tmp_path):
    cells = json.loads((SHELF / "jupyter" / "notebooks" / "first.ipynb").read_text())["cells"]
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in cells)
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    python = python_for("pytorch")
    done = subprocess.run(
        [str(python), "-c", f"{code}\nassert test_accuracy > 0.75\n"],
        cwd=tmp_path, env={**os.environ, **QUIET}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0 and "epoch 8" in done.stdout, done.stderr


CONDA_STAND_IN = """\
#!/bin/sh
# Does what with-conda.sh asks of conda, with the Python of the tests, and keeps a list of it.
echo "$1 $2" >>"$CONDA_FOLDER/asked"
if [ "$1" = run ]; then shift 4; exec "$@"; fi
"""


def test_with_conda_makes_the_environment_once_and_again_after_a_change(tmp_path):
    """With a stand-in for conda: what is tried is the script, not conda."""
    work, binaries, folder = tmp_path / "work", tmp_path / "bin", tmp_path / "conda"
    shutil.copytree(SHELF / "conda", work)
    binaries.mkdir()
    folder.mkdir()
    (binaries / "conda").write_text(CONDA_STAND_IN)
    (binaries / "conda").chmod(0o755)
    path = f"{binaries}{os.pathsep}{python_for('pip-tools').parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, **QUIET, "CONDA_FOLDER": str(folder), "PATH": path}

    def once() -> list[str]:
        words = ["sh", "with-conda.sh", "python", "train.py"]
        done = subprocess.run(words, cwd=work, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        asked = (folder / "asked").read_text().splitlines()
        (folder / "asked").unlink()
        return asked

    assert once() == ["env create", "run --no-capture-output"]
    assert once() == ["run --no-capture-output"]
    with (work / "environment.yml").open("a") as file:
        file.write("  - scipy\n")
    assert once()[0] == "env create"
    assert json.loads((work / "out" / "metrics.json").read_text())["test_accuracy"] > 0.75


def test_conda_is_tried_where_it_is_installed(place):
    if shutil.which("conda") is None:
        pytest.skip("template conda not tried: no conda here")
    place("init", "conda")
    place("up", "--yes")
    place("run", "--env", f"CONDA_FOLDER={place.folder.parent / 'conda'}")
    assert json.loads((place.folder / "out" / "metrics.json").read_text())["test_accuracy"] > 0.75


HOROVOD_STAND_IN = """\
# What Horovod does for a single process.
init = lambda: None
size = lambda: 1
rank = local_rank = lambda: 0
allreduce = lambda tensor, name: tensor
DistributedOptimizer = lambda optimizer, named_parameters: optimizer
broadcast_parameters = lambda parameters, root_rank: None
broadcast_optimizer_state = lambda optimizer, root_rank: None
"""


def test_the_horovod_script_learns_in_a_world_of_one(tmp_path):
    """With a stand-in for Horovod, which is seldom installed: what is tried is the script, not Horovod."""
    (tmp_path / "horovod").mkdir()
    (tmp_path / "horovod" / "__init__.py").touch()
    (tmp_path / "horovod" / "torch.py").write_text(HOROVOD_STAND_IN)
    environ = {**os.environ, **QUIET, "PYTHONPATH": str(tmp_path)}
    words = [str(python_for("pytorch")), str(SHELF / "horovod" / "train.py"), "--epochs", "4"]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["test_accuracy"] > 0.75
