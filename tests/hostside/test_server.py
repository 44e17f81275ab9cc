"""The server of a local machine: who comes in, what they see, and what they may not."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.core.errors import Unreachable
from gpucloud.providers.local.folder import Folder
from gpucloud.remote import keys
from gpucloud.remote.connection import connect
from tests.machines import local_machine, output, until

SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "AZURE_CLIENT_SECRET": "s3cret",
    "GOOGLE_APPLICATION_CREDENTIALS": "s3cret",
    "GPUCLOUD_SSH_FROM": "s3cret",
    "HF_TOKEN": "s3cret",
    "SSH_AUTH_SOCK": "s3cret",
    "PYTHONPATH": "s3cret",
    "LD_PRELOAD": "",
}


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    before = dict(os.environ)
    os.environ.update(SECRETS)
    try:
        with local_machine(tmp_path_factory.mktemp("machine")) as running:
            yield running
    finally:
        os.environ.clear()
        os.environ.update(before)


# what a command sees


def test_the_environment_is_an_allow_list(machine):
    seen = dict(line.split("=", 1) for line in output(machine.connect(), "env").splitlines())
    allowed = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES"}
    own = {"HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "GPUCLOUD_MACHINE", "PWD", "SHLVL", "_", "OLDPWD"}
    assert seen.keys() <= allowed | own
    assert "s3cret" not in str(seen)
    assert seen["HOME"] == seen["PWD"] == str(machine.home)
    assert Path(seen["TMPDIR"]).parent == machine.folder.path


def test_no_process_of_the_machine_was_started_with_a_secret(machine):
    pid = machine.folder.holder()
    environment = Path(f"/proc/{pid}/environ").read_bytes() if Path("/proc").exists() else b""
    secrets = [value for value in SECRETS.values() if value]
    words = Path(f"/proc/{pid}/cmdline").read_bytes() if Path("/proc").exists() else b""
    assert b"AWS_" not in environment and machine.spec.proof_token.encode() not in environment + words
    assert not any(f"={value}\0".encode() in environment for value in secrets)


def test_commands_run_in_a_session_of_their_own(machine):
    ours, server = os.getsid(0), os.getsid(machine.folder.holder())
    theirs = int(output(machine.connect(), "ps -o sid= -p $$"))
    assert len({ours, server, theirs}) == 3


def test_works_with_an_empty_path(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with local_machine(tmp_path) as machine:
        connection = machine.connect()
        assert output(connection, "echo $((6*7))") == "42\n"
        assert output(connection, "ls 2>/dev/null || echo no programs") == "no programs\n"


def test_the_clients_terminal_and_language_but_no_other_variable(machine):
    if shutil.which("ssh") is None:
        pytest.skip("the ssh program is not installed")
    e = machine.endpoint
    options = ["-F", "none", "-i", e.identity_file, "-p", str(e.port), "-o", "StrictHostKeyChecking=no"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "SetEnv=LANG=de_DE EVIL=1"]
    words = ["ssh", *options, f"{e.user}@{e.host}", "echo $LANG $EVIL"]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == "de_DE\n"


# who comes in


def test_it_listens_on_loopback_only(machine):
    for address in {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}:
        if not str(address).startswith("127."):
            with socket.socket() as probe:
                assert probe.connect_ex((address, machine.endpoint.port)) != 0
    if Path("/proc/net/tcp").exists():
        port = f":{machine.endpoint.port:04X} "
        listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines() if port in line]
        assert {address.split(":")[0] for address in listening} == {"0100007F"}


def test_only_our_key_and_no_password(machine, tmp_path):
    from gpucloud.remote.transport import TunedTransport, paramiko

    keys.public_key(tmp_path / "stranger")
    for changed in ({"identity_file": str(tmp_path / "stranger")}, {"user": "root2"}):
        with pytest.raises(Unreachable, match="let us in"):
            connect(replace(machine.endpoint, **changed))
    with socket.create_connection(("127.0.0.1", machine.endpoint.port)) as sock:
        transport = TunedTransport(sock)
        transport.start_client(timeout=10)
        with pytest.raises(paramiko.BadAuthenticationType) as caught:
            transport.auth_password(machine.endpoint.user, "x", fallback=False)
        assert caught.value.allowed_types == ["publickey"]
        transport.close()


def test_its_files_are_private_and_its_token_is_gone(machine):
    folder = machine.folder.path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "host_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((folder / "machine.json").stat().st_mode) == 0o600
    assert not (folder / "proof-token").exists()
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert machine.spec.proof_token.encode() not in everything


# what they may


def test_forwards_lead_to_loopback_only(machine):
    with pytest.raises(ConnectionRefusedError):
        machine.connect().tunnel("192.0.2.1", 80)


def test_no_port_is_opened_for_the_client(machine):
    from gpucloud.remote.transport import paramiko

    with pytest.raises(paramiko.SSHException):
        machine.connect().transport.request_port_forward("127.0.0.1", 0)


def test_a_terminal_has_its_own_session_and_size(machine, monkeypatch):
    monkeypatch.setenv("COLUMNS", "93")
    monkeypatch.setenv("LINES", "37")
    monkeypatch.setenv("TERM", "vt220")
    process = machine.connect().run("stty size; tty; echo $TERM; exit 3", tty=True)
    lines = b"".join(iter(lambda: process.read(4096), b"")).decode().split()
    assert lines[:2] == ["37", "93"] and lines[2].startswith("/dev/") and lines[3] == "vt220"
    assert process.wait() == 3


def test_a_background_child_keeps_its_output_open_like_under_sshd(machine):
    process = machine.connect().run("(sleep 0.3; echo late) & echo soon")
    assert b"".join(iter(lambda: process.read(4096), b"")) == b"soon\nlate\n"


def test_a_client_that_leaves_hangs_up_its_command(machine):
    connection = machine.connect()
    process = connection.run(
        "exec 2>errors; trap 'echo gone >hung-up; exit' HUP; echo on; while :; do sleep 0.05; done"
    )
    assert process.read(10) == b"on\n"
    connection.close()
    until((machine.home / "hung-up").exists)


def test_signals_of_the_client_reach_the_group(machine):
    from gpucloud.remote.transport import Message

    process = machine.connect().run("trap 'echo caught; exit 11' USR1; echo on; while :; do sleep 0.05; done")
    assert process.read(10) == b"on\n"
    message = Message()
    message.add_byte(b"\x62")  # SSH_MSG_CHANNEL_REQUEST
    message.add_int(process.channel.remote_chanid)
    message.add_string("signal")
    message.add_boolean(False)
    message.add_string("USR1")
    process.channel.transport._send_user_message(message)
    assert process.read(10) == b"caught\n" and process.wait() == 11


# verbs


def test_verbs_are_answered_and_bad_words_refused(machine):
    connection = machine.connect()
    assert output(connection, 'gpucloud-host hash {"root": "."}').startswith("\ngpucloud:start")
    for words in ("", " status", " status not-json", " status [1]"):
        process = connection.run(f"gpucloud-host{words}")
        said = process.read_error(4096)
        assert (process.wait(), said.split(b":")[0]) == (2, b"gpucloud-host")
    assert output(connection, "echo gpucloud-hosted") == "gpucloud-hosted\n"


def test_nothing_secret_on_the_command_line_and_bad_folders_end(tmp_path):
    words = [sys.executable, "-m", "gpucloud.hostside", "serve", "--machine", str(tmp_path / "none")]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr and "no machine" in answer.stderr


def test_one_server_per_folder(machine):
    words = [sys.executable, "-m", "gpucloud.hostside", "serve", "--machine", str(machine.folder.path)]
    answer = subprocess.run(words, capture_output=True, text=True, check=False)
    assert answer.returncode == 0 and "another server" in answer.stderr
    assert Folder(machine.folder.path).listening() is not None
