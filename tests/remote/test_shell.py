"""A terminal on a machine: raw while it lasts, the right size, restored whatever happens."""

from __future__ import annotations

import os
import pty
import signal
import termios
import threading

import pytest

from gpucloud.core.errors import Unreachable
from gpucloud.remote.shell import interact
from tests.machines import local_machine, until


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with local_machine(tmp_path_factory.mktemp("machine")) as running:
        yield running


class Desk:
    """Our side: a keyboard to type on, a screen to read, both a terminal."""

    def __init__(self) -> None:
        self.typing, self.keyboard = pty.openpty()
        self.seen = bytearray()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.typing, 65536)
            except OSError:
                return
            if not data:
                return
            self.seen += data

    def type(self, text: str) -> None:
        os.write(self.typing, text.encode())

    @property
    def raw(self) -> bool:
        return not termios.tcgetattr(self.keyboard)[3] & termios.ICANON

    def close(self) -> None:
        os.close(self.keyboard)
        self.reader.join(5)
        os.close(self.typing)


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


def sit_down(desk: Desk, machine, command: str, typed) -> int:
    """Interact from this (main) thread while `typed(desk)` works in another one."""
    worker = threading.Thread(target=typed, args=(desk,), daemon=True)
    worker.start()
    try:
        return interact(machine.connect(), command, keyboard=desk.keyboard, screen=desk.keyboard)
    finally:
        worker.join(10)


def test_a_login_shell_in_raw_mode_with_its_exit_code(desk, machine):
    def typed(desk: Desk) -> None:
        until(lambda: desk.raw)
        desk.type("echo home is $HOME; tty\n")
        until(lambda: f"home is {machine.home}".encode() in desk.seen and b"/dev/" in desk.seen)
        desk.type("exit 6\n")

    assert sit_down(desk, machine, "", typed) == 6
    assert not desk.raw


def test_ctrl_c_reaches_the_command_there(desk, machine):
    def typed(desk: Desk) -> None:
        until(lambda: b"ready" in desk.seen)
        desk.type("\x03")

    command = "trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done"
    assert sit_down(desk, machine, command, typed) == 9
    until(lambda: b"interrupted" in desk.seen)


def test_a_new_window_size_is_passed_on(desk, machine, monkeypatch):
    monkeypatch.setenv("COLUMNS", "101")
    monkeypatch.setenv("LINES", "41")

    def typed(desk: Desk) -> None:
        until(lambda: b"41 101" in desk.seen)
        monkeypatch.setenv("COLUMNS", "77")
        monkeypatch.setenv("LINES", "33")
        os.kill(os.getpid(), signal.SIGWINCH)
        until(lambda: b"33 77" in desk.seen)
        (machine.home / "stop").touch()

    command = 'trap "stty size" WINCH; stty size; until [ -e stop ]; do sleep 0.05; done'
    before = signal.getsignal(signal.SIGWINCH)
    assert sit_down(desk, machine, command, typed) == 0
    assert signal.getsignal(signal.SIGWINCH) is before


def test_the_terminal_is_restored_when_the_link_dies(desk, machine):
    connection = machine.connect()

    def cut() -> None:
        until(lambda: desk.raw)
        connection.transport.close()

    worker = threading.Thread(target=cut)
    worker.start()
    with pytest.raises(Unreachable):
        interact(connection, "sleep 30", keyboard=desk.keyboard, screen=desk.keyboard)
    worker.join()
    assert not desk.raw


def test_without_a_terminal_here_input_ends_with_its_file(machine, tmp_path):
    (tmp_path / "in").write_bytes(b"one\n")
    keyboard, screen = os.open(tmp_path / "in", os.O_RDONLY), os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    try:
        code = interact(machine.connect(), "read line; echo got $line; exit 2", keyboard=keyboard, screen=screen)
    finally:
        os.close(keyboard)
        os.close(screen)
    assert code == 2 and b"got one" in (tmp_path / "out").read_bytes()
