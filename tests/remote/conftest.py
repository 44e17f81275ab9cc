"""Machines for tests: a shell in a folder of its own, and the embedded verbs in a thread, as transports."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings

from gpucloud.core.errors import Unreachable

settings.register_profile("remote", deadline=None)  # disks and processes take as long as a busy machine lets them
settings.load_profile("remote")


class LocalProcess:
    """core.wire.Process over a child process."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child

    def write(self, data: bytes) -> None:
        try:
            self.child.stdin.write(data)
            self.child.stdin.flush()
        except ValueError as error:
            raise Unreachable("closed") from error

    def end_input(self) -> None:
        self.child.stdin.close()

    def read(self, size: int) -> bytes:
        return os.read(self.child.stdout.fileno(), size)

    def read_error(self, size: int) -> bytes:
        try:
            return os.read(self.child.stderr.fileno(), size)
        except (ValueError, OSError):  # closed by its garbage collection while a thread was still asking
            return b""

    def wait(self) -> int:
        code = self.child.wait()
        return code if code >= 0 else 128 - code

    def close(self) -> None:
        for pipe in (self.child.stdin, self.child.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        self.child.wait(10)


@dataclass
class ShellMachine:
    """A machine of the `sh` dialect: commands go through `shell -c` in `home`."""

    home: Path
    shell: tuple[str, ...] = ("sh", "-c")
    environment: dict[str, str] = field(default_factory=dict)
    dialect: str = "sh"
    base_dir: str = "gpucloud/test-aaaaaaaa"
    started: list[LocalProcess] = field(default_factory=list)

    def run(self, command: str, *, tty: bool = False) -> LocalProcess:
        child = subprocess.Popen(
            [*self.shell, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "SHELL": "/bin/sh", "HOME": str(self.home), **self.environment},
        )
        self.started.append(LocalProcess(child))
        return self.started[-1]

    def close(self) -> None:
        for one in self.started:
            one.close()
            one.child.stderr.close()


class PipedProcess:
    """core.wire.Process over pipes to a thread that runs `serve`."""

    def __init__(self, serve) -> None:
        stdin, self._in = os.pipe()
        self._out, stdout = os.pipe()
        self._err, stderr = os.pipe()
        self._code: list[int] = []
        self._open = {self._in, self._out, self._err}
        self._thread = threading.Thread(target=self._serve, args=(serve, stdin, stdout, stderr), daemon=True)
        self._thread.start()

    def _serve(self, serve, stdin: int, stdout: int, stderr: int) -> None:
        with open(stdin, "rb") as i, open(stdout, "wb", 0) as o, open(stderr, "wb", 0) as e:
            try:
                self._code.append(serve(i, o, e))
            except BrokenPipeError:
                self._code.append(141)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._in, view) :]

    def _shut(self, descriptor: int) -> None:
        if descriptor in self._open:
            self._open.remove(descriptor)
            os.close(descriptor)

    def end_input(self) -> None:
        self._shut(self._in)

    def read(self, size: int) -> bytes:
        return os.read(self._out, size)

    def read_error(self, size: int) -> bytes:
        try:
            return os.read(self._err, size)
        except OSError:  # closed by the other thread
            return b""

    def wait(self) -> int:
        self._thread.join()
        return self._code[0]

    def close(self) -> None:
        self._shut(self._in)
        self._shut(self._out)
        self._thread.join(10)
        self._shut(self._err)


@dataclass
class EmbeddedMachine:
    """A machine of the `embedded` dialect: verbs are answered by `hostside.verbs` in this process."""

    home: Path
    id: str = "machine-test"
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": os.environ["PATH"]})
    gone: threading.Event = field(default_factory=threading.Event)
    dialect: str = "embedded"
    base_dir: str = "gpucloud/test-aaaaaaaa"

    def run(self, command: str, *, tty: bool = False) -> PipedProcess:
        import json

        from gpucloud.hostside.verbs import serve_verb

        _, verb, text = command.split(" ", 2)
        arguments = json.loads(text)
        return PipedProcess(lambda i, o, e: serve_verb(verb, arguments, i, o, e, self))

    def close(self) -> None:
        pass


@pytest.fixture
def sh_machine(tmp_path):
    """One `sh` machine with an empty home."""
    home = tmp_path / "sh-home"
    home.mkdir()
    machine = ShellMachine(home)
    yield machine
    machine.close()


@pytest.fixture
def embedded_machine(tmp_path):
    """One `embedded` machine with an empty home."""
    home = tmp_path / "embedded-home"
    home.mkdir()
    return EmbeddedMachine(home)


@pytest.fixture(params=["sh", "embedded"])
def machine(request):
    """Either."""
    return request.getfixturevalue(f"{request.param}_machine")
