"""The SSH server of one local machine: loopback only, our key only, one user, commands and our verbs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from typing import Any

import asyncssh

from gpucloud.hostside.dispatch import is_verb, run_verb
from gpucloud.hostside.guards import Ending
from gpucloud.hostside.life import Life, Presence
from gpucloud.hostside.machine import Machine, host_key, log, open_machine, write_proof
from gpucloud.hostside.shell import run_command
from gpucloud.hostside.work import ServeVerb, Work
from gpucloud.providers.local.folder import ENDED, SERVER, Folder, Record, read_json, write_json

LOOPBACK = ("127.0.0.1", "::1", "localhost")
CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com"]  # plain ssh would choose a slower one before them


class Door(asyncssh.SSHServer):
    """Who may come in and what for: our user's key; commands, copies, and forwards to the loopback address."""

    def __init__(self, user: str, key: Any, presence: Presence) -> None:
        self._user, self._key, self._presence = user, key, presence
        self._counted = False

    def begin_auth(self, username: str) -> bool:
        """Nobody comes in without a key."""
        return True

    def public_key_auth_supported(self) -> bool:
        """The only way in."""
        return True

    def validate_public_key(self, username: str, key: Any) -> bool:
        """Our key, as the machine's user."""
        return bool(username == self._user and key == self._key)

    def auth_completed(self) -> None:
        """From here on the client is present."""
        self._counted = True
        self._presence.joined()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        if self._counted:
            self._presence.left()

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        """Forwards lead to this computer's loopback address and nowhere else."""
        return dest_host in LOOPBACK


class Copies(asyncssh.SFTPServer):
    """scp and sftp, in the machine's home (our working folder). scp wants an exit status at the end."""

    def exit(self) -> None:
        """The client has hung up."""
        self.channel.exit(0)


async def listen(machine: Machine, record: Record, presence: Presence, serve_verb: ServeVerb, port: int) -> Any:
    """Open the door on `port` (0: any free one)."""
    private, public = asyncssh.import_private_key(host_key(machine.folder)), record.public_key
    ours = asyncssh.import_public_key(public)

    # Tasks of our own: the server cancels its own when the client leaves, and a cancelled one kills its command
    # where a hang-up was due.
    tasks: set[asyncio.Task[None]] = set()

    def session(process: Any) -> None:
        task = asyncio.get_running_loop().create_task(_session(process, machine, serve_verb))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return await asyncssh.create_server(
        lambda: Door(record.user, ours, presence),
        "127.0.0.1",
        port,
        server_host_keys=[private],
        process_factory=session,
        sftp_factory=Copies,
        allow_scp=True,
        encoding=None,
        line_editor=False,
        encryption_algs=CIPHERS,
        compression_algs=["none"],
        password_auth=False,
        kbdint_auth=False,
        gss_host=None,
        agent_forwarding=False,
        x11_forwarding=False,
        login_timeout=20,
        keepalive_interval=15,
        keepalive_count_max=4,
    )


async def _session(process: Any, machine: Machine, serve_verb: ServeVerb) -> None:
    try:
        if is_verb(process.command):
            await run_verb(process, machine, serve_verb)
        else:
            await run_command(process, machine)
    except (OSError, asyncssh.Error) as error:
        log(f"session: {type(error).__name__}: {error}")
        process.close()


async def serve(machine: Machine, record: Record, serve_verb: ServeVerb) -> Ending:
    """Be the machine until a guard, `stop` or the loss of the folder ends it."""
    presence = Presence()
    life = Life(machine, Work(machine, serve_verb), presence)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, life.ask_to_stop)
    door = await _listen_again(machine, record, presence, serve_verb)
    public = " ".join(asyncssh.import_private_key(host_key(machine.folder)).export_public_key().decode().split()[:2])
    write_proof(machine, record, public)
    port = door.get_port()
    _announce(machine.folder, port, public)
    try:
        ending: Ending = await _in_thread(life.watch)
        door.close()
        await _in_thread(lambda: life.end(ending))
    finally:
        door.close()
    return ending


async def _listen_again(machine: Machine, record: Record, presence: Presence, serve_verb: ServeVerb) -> Any:
    """On the port of the last boot, so that open SSH configs stay true, else on any free one."""
    last = read_json(machine.folder.path / "port.json") or {}
    if isinstance(last.get("port"), int):
        with contextlib.suppress(OSError):
            return await listen(machine, record, presence, serve_verb, last["port"])
    return await listen(machine, record, presence, serve_verb, 0)


def _announce(folder: Folder, port: int, public_key: str) -> None:
    write_json(folder.path / "port.json", {"port": port})
    body = {"port": port, "pid": os.getpid(), "host_key": public_key, "boot_epoch_s": time.time()}
    write_json(folder.path / SERVER, body)


async def _in_thread(work: Any) -> Any:
    """Like `asyncio.to_thread`, but nothing waits for the thread when the process ends."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def body() -> None:
        try:
            value = work()
        except BaseException as error:
            outcome, settle = error, result.set_exception
        else:
            outcome, settle = value, result.set_result
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=body, daemon=True).start()
    return await result


def main(folder: Folder, serve_verb: ServeVerb) -> int:
    """Hold the lock for life, then be the machine. 0 when it ended in good order."""
    if folder.record() is None:
        log(f"no machine in {folder.path}")
        return 1
    lock = folder.lock()
    if lock is None:
        log("another server of this machine lives")
        return 0
    record = folder.record()
    if record is None:
        return 1
    for stale in (SERVER, ENDED):
        (folder.path / stale).unlink(missing_ok=True)
    machine = open_machine(folder, record, os.environ)
    os.chdir(machine.home)
    ending = asyncio.run(serve(machine, record, serve_verb))
    log(f"ended: {ending.reason}")
    return 0
