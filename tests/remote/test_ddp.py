"""`--launcher torchrun` across real network namespaces: one sshd each, addresses of their own, only a bridge between.

Needs root. Where PyTorch can be imported (by this Python, or by the one that GPUCLOUD_TEST_TORCH names) a real DDP
job trains over gloo; a stand-in for `torch.distributed.run` checks the words and meets over plain sockets everywhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.core.launcher import World, launched_command, launcher_words, rank_environment
from gpucloud.flows.lines import Lines
from gpucloud.remote.runs import RunSpec, follow, signal, start
from gpucloud.remote.sync import push
from tests.sshd import needs_sshd, openssh_server

pytestmark = [
    needs_sshd,
    pytest.mark.allow_hosts(["127.0.0.0/8", "10.192.0.0/10"]),
    pytest.mark.skipif(
        os.getuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and the program ip"
    ),
]
BASE = "gpucloud/test-aaaaaaaa"
TORCH_PYTHON = os.environ.get("GPUCLOUD_TEST_TORCH", sys.executable)
STAND_IN = """\
import os, socket, subprocess, sys
options = dict(word[2:].split("=", 1) for word in sys.argv[1:] if word.startswith("--"))
script = [word for word in sys.argv[1:] if not word.startswith("--")]
node, nodes, each = (int(options[name]) for name in ("node_rank", "nnodes", "nproc_per_node"))
workers = []
for local in range(each):
    ranks = {"RANK": node * each + local, "LOCAL_RANK": local, "WORLD_SIZE": nodes * each}
    ranks |= {"MASTER_ADDR": options["master_addr"], "MASTER_PORT": options["master_port"]}
    words = {name: str(value) for name, value in ranks.items()}
    workers.append(subprocess.Popen([sys.executable, *script], env={**os.environ, **words}))
sys.exit(max(worker.wait() for worker in workers))
"""
MEETING = """\
import os, socket, sys, time
rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
where = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(("0.0.0.0", where[1]), backlog=size) as server:
        clients = [server.accept()[0] for _ in range(size - 1)]
        total = sum(int(client.recv(16)) for client in clients)
        for client in clients:
            client.sendall(b"%d" % total)
else:
    for _ in range(200):
        try:
            client = socket.create_connection(where, 1)
            break
        except OSError:
            time.sleep(0.05)
    client.sendall(b"%d" % rank)
    total = int(client.recv(16))
print("rank", rank, "of", size, "sum", total, "over", os.environ.get("GLOO_SOCKET_IFNAME"), flush=True)
sys.exit(int(os.environ["NODE_RANK"]) * 3)
"""
TRAIN = """\
import os, torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
dist.init_process_group("gloo")
rank, size = dist.get_rank(), dist.get_world_size()
torch.manual_seed(0)
model = DistributedDataParallel(torch.nn.Linear(4, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
torch.manual_seed(100 + rank)
losses = []
for step in range(20):
    x = torch.randn(32, 4)
    loss = ((model(x).squeeze() - x.sum(1)) ** 2).mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    losses.append(loss.item())
digest = sum(p.double().sum().item() for p in model.parameters())
seen = [torch.zeros(1, dtype=torch.double) for _ in range(size)]
dist.all_gather(seen, torch.tensor([digest], dtype=torch.double))
same = len({one.item() for one in seen}) == 1
print("rank", rank, "of", size, "falls", losses[-1] < losses[0] / 2, "same", same, flush=True)
dist.barrier()
dist.destroy_process_group()
os._exit(0)  # a reducer that is torn down with the interpreter aborts now and then (seen with torch 2.14)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def rack(tmp_path):
    """Two servers in namespaces of their own; we stand at the bridge."""
    mark = f"{os.getpid() % 10000:04}"
    net, bridge = f"10.{200 + os.getpid() % 50}.{os.getpid() // 50 % 250}", f"gcb{mark}"
    with contextlib.ExitStack() as stack:
        try:
            ip("link", "add", bridge, "type", "bridge")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no bridge can be made here: {error.stderr.decode().strip()}")
        stack.callback(ip, "link", "delete", bridge)
        ip("address", "add", f"{net}.254/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        servers = []
        for number in (1, 2):
            name, end = f"gc{mark}-{number}", f"gcv{mark}{number}"
            ip("netns", "add", name)
            stack.callback(ip, "netns", "delete", name)
            ip("link", "add", end, "type", "veth", "peer", "name", "eth7", "netns", name)
            stack.callback(ip, "link", "delete", end)  # at once: a namespace lingers as long as a process in it
            ip("link", "set", end, "master", bridge, "up")
            inside = ("ip", "netns", "exec", name)
            for words in (["link", "set", "lo", "up"], ["address", "add", f"{net}.{number}/24", "dev", "eth7"]):
                ip("-n", name, *words)
            ip("-n", name, "link", "set", "eth7", "up")
            opened = openssh_server(tmp_path / name, host=f"{net}.{number}", inside=inside)
            servers.append(stack.enter_context(opened))
        yield servers


def run_everywhere(servers, folder: Path, python: str, processes: int) -> tuple[list[str], list[int | None]]:
    """As a session does it: sync, start and follow on every node at once; the lines and the exit codes."""
    from concurrent.futures import ThreadPoolExecutor

    world = World(tuple(server.endpoint.host for server in servers), processes, 23456)
    shown: list[bytes] = []
    lines = Lines(shown.append, prefixed=True)

    def one(rank: int) -> int | None:
        connection = servers[rank].connect()
        push(connection, folder, f"{BASE}/work")
        command = (python, "train.py")
        words = launcher_words("torchrun", command, world, rank)
        environment = {**rank_environment(world, rank), "OMP_NUM_THREADS": "1"}
        spec = RunSpec(
            f"{BASE}/runs/1", f"{BASE}/work", launched_command(words, command), launcher=words, env=environment
        )
        start(connection, spec)
        patience = threading.Timer(120, lambda: signal(servers[rank].connect(), spec.run_dir, "KILL"))
        patience.start()
        try:
            return follow(lambda: connection, spec.run_dir, 0, lambda data: lines.write(rank, data)).exit_code
        finally:
            patience.cancel()

    with ThreadPoolExecutor(len(servers)) as pool:
        codes = list(pool.map(one, range(len(servers))))
    lines.end()
    return b"".join(shown).decode().splitlines(), codes


def test_the_launchers_words_bring_all_processes_of_all_nodes_together(rack, tmp_path):
    folder = tmp_path / "folder"
    (folder / "torch" / "distributed").mkdir(parents=True)
    (folder / "torch" / "distributed" / "run.py").write_text(STAND_IN)
    (folder / "train.py").write_text(MEETING)
    lines, codes = run_everywhere(rack, folder, sys.executable, 2)
    wanted = [f"[{rank // 2}] rank {rank} of 4 sum 6 over eth7" for rank in range(4)]
    assert (sorted(lines), codes) == (wanted, [0, 3])


def torch_is_there() -> bool:
    """Whether that Python can train with gloo."""
    asked = "import torch.distributed as d; raise SystemExit(not d.is_gloo_available())"
    return subprocess.run([TORCH_PYTHON, "-c", asked], capture_output=True).returncode == 0


def test_a_real_ddp_job_trains_across_the_nodes(rack, tmp_path, record_property):
    if not torch_is_there():
        pytest.skip("PyTorch is not installed (pip install torch, or name a Python that has it in GPUCLOUD_TEST_TORCH)")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    lines, codes = run_everywhere(rack, folder, TORCH_PYTHON, 1)
    told = [line for line in lines if "] rank " in line]
    assert (sorted(told), codes) == ([f"[{n}] rank {n} of 2 falls True same True" for n in range(2)], [0, 0]), lines
    record_property("told", "DDP over gloo trained across two network namespaces")


def test_the_nodes_reach_each_other_only_over_the_bridge(rack):
    """The rehearsal is one: a port of one node's loopback is not the other's."""
    first, second = (replace(server.endpoint, host="127.0.0.1") for server in rack)
    assert first.port and second.port
    from gpucloud.core.errors import Unreachable
    from gpucloud.remote.connection import connect

    with pytest.raises(Unreachable):
        connect(first, deadline_s=0.3)
