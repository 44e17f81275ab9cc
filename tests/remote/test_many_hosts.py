"""Runs, commands and files on several machines at once, each a real OpenSSH server of its own."""

from __future__ import annotations

import io
import os
import signal as signals
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gpucloud.core.errors import HostKeyError, Interrupted, SyncError, Unreachable, UsageError
from gpucloud.core.task import Sync
from gpucloud.core.wire import Secret
from gpucloud.flows import companions, runs
from gpucloud.flows import follow as following
from gpucloud.flows.direct import execute
from gpucloud.flows.follow import Follower
from gpucloud.flows.machines import Fleet, node_of
from gpucloud.flows.run_events import find_run
from gpucloud.flows.session import RunRequest, on_all, run, work_dir
from gpucloud.remote.connection import connect
from gpucloud.remote.forward import Forwarding, Port
from gpucloud.remote.runs import status
from gpucloud.remote.sync import pull, push
from tests.flows import conftest as rehearsal
from tests.machines import output, until
from tests.sshd import OpenSshServer, needs_sshd, openssh_server

pytestmark = needs_sshd
BASE = "gpucloud/fleet"


def nothing():
    """An input that has ended."""
    stdin = io.StringIO()
    stdin.close()
    return stdin


class RealClock:
    """The time as it is: the machines are real."""

    def __call__(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class Hosts:
    """A deployment whose nodes are these servers."""

    servers: list[OpenSshServer]
    stage: rehearsal.Stage
    folder: Path

    def dial(self, endpoint):
        server = next(one for one in self.servers if one.endpoint.port == endpoint.port)
        return connect(replace(endpoint, identity_file=server.endpoint.identity_file), deadline_s=2.0)

    @property
    def deployment(self):
        (deployment,) = self.stage.present.deployments.values()
        return deployment

    def run(self, command, *, follower=None, **more):
        """The run at its end, and what was shown."""
        shown: list[bytes] = []
        reader = follower or Follower(self.stage.ctx, self.dial, shown.append)
        request = RunRequest(command, self.folder, sync=more.pop("sync", None), **more)
        return run(self.stage.ctx, self.dial, request, reader), b"".join(shown)

    def work(self, rank: int) -> Path:
        return self.servers[rank].home / BASE / "work"


def make_stage(root: Path, servers: list[OpenSshServer], monkeypatch) -> rehearsal.Stage:
    """A journal and a fake cloud that sells exactly these machines."""
    monkeypatch.setattr(rehearsal, "Clock", RealClock)

    class Cloud(rehearsal.ReachableFake):
        def _addressed(self, item):
            if item.kind != "machine" or item.state != "running":
                return item
            return replace(item, endpoint=replace(servers[item.rank or 0].endpoint, host_key="", identity_file=""))

    class Proofs(rehearsal.FakeReadiness):
        def prove(self, resource, proof_token, deployment_id):
            return servers[resource.rank or 0].endpoint.host_key

    stage = rehearsal.Stage(root)
    stage.readiness = Proofs()
    stage.provider = Cloud(stage.store, clock=stage.clock, sleep=stage.clock.sleep)
    stage.context()
    stage.up("train", nodes=len(servers))
    return stage


@pytest.fixture
def three(tmp_path, monkeypatch):
    import contextlib

    folder = tmp_path / "folder"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(openssh_server(tmp_path / f"host{n}", base_dir=BASE)) for n in range(3)]
        stage = make_stage(tmp_path / "home", servers, monkeypatch)
        yield Hosts(servers, stage, folder)
        stage.journal.close()


def test_every_node_knows_its_place_and_every_line_its_node(three):
    names = "NODE_RANK NNODES MASTER_ADDR MASTER_PORT GPUS_PER_NODE GPUCLOUD_NODE_IPS".split()
    made, shown = three.run(f"echo {' '.join(f'${name}' for name in names)}; printf half; exit $NODE_RANK")
    assert (made.state, made.exit_code) == ("failed", 2)
    lines = sorted(shown.decode().splitlines())
    port = lines[0].split()[4]
    places = [f"[{n}] {n} 3 10.0.0.1 {port} 0 10.0.0.1 10.0.0.2 10.0.0.3" for n in range(3)]
    assert lines == sorted(places + [f"[{n}] half" for n in range(3)])
    assert 20000 <= int(port) < 30000


def test_lines_of_many_nodes_are_whole_and_none_is_lost(three):
    made, shown = three.run("i=0; while [ $i -lt 2000 ]; do echo line $i of node $NODE_RANK; i=$((i+1)); done")
    assert made.exit_code == 0
    for n in range(3):
        mine = [line for line in shown.splitlines() if line.startswith(b"[%d] " % n)]
        assert mine == [b"[%d] line %d of node %d" % (n, i, n) for i in range(2000)]


def test_files_reach_all_nodes_at_once_and_come_back(three, tmp_path):
    (three.folder / "train.py").write_text("import os; open('out', 'w').write(os.environ['NODE_RANK'])")
    made, _ = three.run((sys.executable, "train.py"), sync=Sync(), launcher="none", pull=("out",))
    assert made.exit_code == 0 and (three.folder / "out").read_text() == "0"
    assert [(three.work(n) / "out").read_text() for n in range(3)] == ["0", "1", "2"]
    with Fleet(three.deployment.machines, three.dial) as fleet:
        on_all(fleet.nodes, lambda node: pull(node.transport, work_dir(node), tmp_path / "back" / str(node.rank)))
        (three.folder / "more").write_text("more")
        on_all(fleet.nodes, lambda node: push(node.transport, three.folder, work_dir(node)))
    assert [(tmp_path / "back" / str(n) / "out").read_text() for n in range(3)] == ["0", "1", "2"]
    assert [(three.work(n) / "more").exists() for n in range(3)] == [True] * 3


def test_one_full_or_closed_node_is_named(three):
    (three.folder / "a").write_text("a")
    (three.servers[1].home / BASE).mkdir(parents=True)
    (three.work(1)).write_text("a file in the way")
    with pytest.raises(SyncError) as caught:
        three.run("true", sync=Sync())
    assert caught.value.message.startswith("Node 1: ")
    three.work(1).unlink()
    three.servers[2].stop()
    with pytest.raises(Unreachable, match="connection refused") as lost:
        three.run("true")
    assert lost.value.message.startswith("Node 2: ")


def test_a_node_that_shows_another_key_stops_everything(three):
    three.servers[1].endpoint = replace(three.servers[1].endpoint, port=three.servers[2].endpoint.port)
    old, three.servers[1] = three.servers[1], three.servers[2]  # the address now leads to another machine

    def dial(endpoint):
        port = three.servers[2].endpoint.port
        at_1 = endpoint.host_key == three.deployment.machines[1].endpoint.host_key
        return three.dial(replace(endpoint, port=port) if at_1 else endpoint)

    with pytest.raises(HostKeyError, match="another host key") as caught:
        run(
            three.stage.ctx,
            dial,
            RunRequest("touch ran", three.folder, sync=None),
            Follower(three.stage.ctx, dial, print),
        )
    assert caught.value.exit_code == 7 and caught.value.message.startswith("Node 1: ")
    assert not (three.work(0) / "ran").exists()
    assert old.daemon.poll() is None


def test_exec_runs_on_all_with_prefixes_and_gives_the_worst_code(three):
    out, err = io.BytesIO(), io.BytesIO()
    words = ["echo out; echo err >&2; exit $(cat code)"]
    for n, code in enumerate((0, 4, 2)):
        three.work(n).mkdir(parents=True)
        (three.work(n) / "code").write_text(str(code))
    assert execute(three.dial, three.deployment.machines, words, nothing(), out, err) == 4
    assert sorted(out.getvalue().splitlines()) == [b"[0] out", b"[1] out", b"[2] out"]
    assert sorted(err.getvalue().splitlines()) == [b"[0] err", b"[1] err", b"[2] err"]
    with pytest.raises(UsageError, match="has no node 3"):
        node_of(three.deployment, 3)


def test_exec_and_runs_find_the_login_environment(three):
    """As an image has it: PATH from its profile, which also prints."""
    for server in three.servers:
        tools = server.home / "tools"
        tools.mkdir()
        (tools / "conda").write_text("#!/bin/sh\necho conda of $NAME\n")
        (tools / "conda").chmod(0o755)
        (server.home / ".profile").write_text(
            'echo Welcome to this image\nPATH="$HOME/tools:$PATH" NAME=base\nexport PATH NAME\n'
        )
    out, err = io.BytesIO(), io.BytesIO()
    assert execute(three.dial, three.deployment.machines[:1], ["conda"], nothing(), out, err) == 0
    assert (out.getvalue(), err.getvalue()) == (b"conda of base\n", b"")
    made, shown = three.run("conda")
    assert made.exit_code == 0 and sorted(shown.splitlines()) == [b"[%d] conda of base" % n for n in range(3)]


def test_ps_wait_logs_and_cancel_see_all_nodes(three):
    made, _ = three.run("echo up on $NODE_RANK; exec sleep 30", detach=True)
    ctx = three.stage.ctx
    assert made.open and runs.refresh(ctx, three.dial, [three.deployment]) == []
    until(lambda: all((three.servers[n].home / BASE / "runs/1/log").stat().st_size for n in range(3)))
    shown: list[bytes] = []
    Follower(ctx, three.dial, shown.append, wait=False).follow(three.deployment, made)
    assert sorted(b"".join(shown).splitlines()) == [b"[%d] up on %d" % (n, n) for n in range(3)]
    ends = []
    waiting = Follower(ctx, three.dial, lambda data: None, only_reads=True)
    waiter = threading.Thread(target=lambda: ends.append(waiting.follow(three.deployment, made)))
    waiter.start()
    ended = following.cancel(ctx, three.dial, three.deployment, made, grace_s=5)
    waiter.join(10)
    assert (ended.state, ended.exit_code) == ("cancelled", 130) and ends[0].exit_code == 130


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(companions, "OTHERS_GRACE_S", 0.4)
    monkeypatch.setattr(companions, "KILL_AFTER_S", 0.6)
    monkeypatch.setattr(companions, "NODE_PATIENCE_S", 0.5)


def one_fails(three, name: str) -> str:
    """Node 1 fails as soon as node 2 is deaf to TERM; the others would go on for ever."""
    deaf = three.folder.parent / f"{name} is deaf"
    return f"""case $NODE_RANK in
        1) until [ -e '{deaf}' ]; do sleep 0.05; done; exit 3;;
        2) trap "" TERM; : >'{deaf}';;
    esac; echo waiting; while :; do sleep 0.05; done"""


@pytest.mark.usefixtures("impatient")
def test_a_node_that_fails_ends_the_others_and_its_code_counts(three):
    """The others wait for it, one so stubbornly that it must be killed."""
    begun = time.monotonic()
    made, _ = three.run(one_fails(three, "it"))
    assert (made.state, made.exit_code) == ("failed", 3)
    assert time.monotonic() - begun < 60
    told = " ".join(three.stage.said)
    assert (
        "failed with exit code 3 on node 1" in told and "2 more nodes (TERM)" in told and "1 more node (KILL)" in told
    )


@pytest.mark.usefixtures("impatient")
def test_a_detached_run_that_failed_on_one_node_is_ended_by_whoever_looks(three):
    """By `ps` (others are told, then killed) and by `wait`; who asks later sees the code of the node that failed."""
    ctx = three.stage.ctx

    def refreshed(made):
        runs.refresh(ctx, three.dial, [three.deployment])
        return find_run(ctx, made.id)

    asked, _ = three.run(one_fails(three, "asked"), detach=True)
    until(lambda: not refreshed(asked).open, 60)
    assert (refreshed(asked).state, refreshed(asked).exit_code) == ("failed", 3)
    told = " ".join(three.stage.said)
    assert "2 more nodes (TERM)" in told and "1 more node (KILL)" in told

    awaited, _ = three.run(one_fails(three, "awaited"), detach=True)
    reader = Follower(ctx, three.dial, lambda data: None, only_reads=True)
    assert reader.follow(three.deployment, awaited).exit_code == 3
    with Fleet(three.deployment.machines, three.dial) as fleet:
        states = {node.rank: status(node.transport, [f"{BASE}/runs/2"])[f"{BASE}/runs/2"] for node in fleet.nodes}
    assert [states[n].exit_code for n in range(3)] == [143, 3, 137] and runs.judge(states) == ("exited", 3)


@pytest.mark.usefixtures("impatient")
def test_a_node_that_dies_ends_the_others_and_the_run_is_lost(three):
    def die() -> None:
        until(
            lambda: (
                (three.servers[1].home / BASE / "runs/1/pid").exists()
                and (three.servers[0].home / BASE / "runs/1/pid").exists()
            ),
            60,
        )
        time.sleep(0.3)
        three.servers[1].stop()

    death = threading.Thread(target=die)
    death.start()
    made, _ = three.run("echo up; while :; do sleep 0.05; done")
    death.join()
    assert (made.state, made.exit_code) == ("lost", None)
    assert any("lost on node 1" in sentence for sentence in three.stage.said)
    for n in (0, 2):
        assert (three.servers[n].home / BASE / "runs/1/exit").read_text().strip() == "143"
    os.killpg(int((three.servers[1].home / BASE / "runs/1/pid").read_text()), signals.SIGKILL)


@pytest.mark.usefixtures("impatient")
def test_our_own_network_being_gone_ends_nothing(three, monkeypatch):
    """All nodes are silent for longer than the patience with one of them."""
    monkeypatch.setattr(companions, "NODE_PATIENCE_S", 2.0)
    shown: list[bytes] = []
    cut = threading.Event()

    def dial(endpoint):
        if cut.is_set() and time.monotonic() < back[0]:
            raise Unreachable("No route.")
        return three.dial(endpoint)

    back = [0.0]
    follower = Follower(three.stage.ctx, dial, shown.append)

    def storm() -> None:
        until(lambda: shown)
        back[0] = time.monotonic() + 2.5
        cut.set()
        for server in three.servers:
            server.cut()

    weather = threading.Thread(target=storm)
    weather.start()
    made, _ = three.run("echo up; sleep 2; echo done", follower=follower)
    weather.join()
    assert made.exit_code == 0
    assert sorted(b"".join(shown).splitlines()) == sorted(
        b"[%d] %s" % (n, word) for n in range(3) for word in (b"up", b"done")
    )


def test_independent_nodes_may_end_at_their_own_times(three):
    made, _ = three.run("sleep 0.$NODE_RANK; exit 0")
    assert made.exit_code == 0 and not any("grace" in sentence for sentence in three.stage.said)


def test_secrets_and_env_reach_every_node_and_no_journal(three):
    secret = "hush-0a1b2c3d"
    made, shown = three.run("echo $A ${#TOKEN}", env={"A": "b c"}, secrets={"TOKEN": Secret(secret)})
    assert made.exit_code == 0 and sorted(shown.splitlines()) == [b"[%d] b c 13" % n for n in range(3)]
    three.stage.journal.close()
    for path in three.folder.parent.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
    three.stage.journal = rehearsal.Journal.open(three.stage.home)


def test_ctrl_c_reaches_all_nodes_in_three_steps(three):
    """Interrupted, terminated, killed: each press once, on every node."""
    shown: list[bytes] = []
    follower = Follower(three.stage.ctx, three.dial, shown.append)

    def press() -> None:
        until(lambda: b"".join(shown).count(b"up") == 3, 30)
        for seen in (b"INT", b"TERM", None):
            os.kill(os.getpid(), signals.SIGINT)
            if seen:
                until(lambda seen=seen: b"".join(shown).count(seen) == 3, 30)

    presses = threading.Thread(target=press)
    presses.start()
    text = "trap 'echo INT' INT; trap 'echo TERM' TERM; echo up; while :; do sleep 0.05; done"
    made, _ = three.run(text, follower=follower)
    presses.join()
    assert (made.state, made.exit_code) == ("cancelled", 137)


def test_detaching_at_ctrl_c_leaves_all_running(three):
    shown: list[bytes] = []
    follower = Follower(three.stage.ctx, three.dial, shown.append, ask_detach=lambda question: True)
    presses = threading.Thread(
        target=lambda: (until(lambda: b"".join(shown).count(b"up") == 3), os.kill(os.getpid(), signals.SIGINT))
    )
    presses.start()
    with pytest.raises(Interrupted, match="goes on"):
        three.run("echo up; exec sleep 30", follower=follower)
    presses.join()
    (made,) = three.deployment.runs
    assert made.open
    assert following.cancel(three.stage.ctx, three.dial, three.deployment, made).exit_code == 130


def test_a_shell_and_a_port_of_a_chosen_node(three):
    connection = three.dial(node_of(three.deployment, 2).endpoint)
    with connection, Forwarding(connection, Port(0, three.servers[1].endpoint.port)) as forwarding:
        import socket

        with socket.create_connection(("127.0.0.1", forwarding.port), 5) as client:
            assert client.recv(8) == b"SSH-2.0-"
        assert output(connection, "pwd").strip() == str(three.servers[2].home)
