"""Runs that survive us: start one, follow its log exactly once, signal it, ask how it stands.

The job lives in a session of its own under a supervisor on the machine; its log and exit code are files there.
All the client needs to go on after a lost link is the number of log bytes it has given out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from gpucloud.core.errors import HostError, Unreachable, UsageError
from gpucloud.core.wire import ENVIRONMENT_FILE, SETUP_DIR, Secret, Transport
from gpucloud.remote.scripts import script
from gpucloud.remote.talk import Talk
from gpucloud.remote.verbs import Argument, shell_quoted

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
STATUS_MARK = "gpucloud-status "
CLOCKS_AGREE_S = 5.0  # a difference that an answer under way and whole seconds explain
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0


@dataclass(frozen=True)
class RunSpec:
    """One run. Remote paths are absolute or relative to the login home.

    `command` is shell text, or words that are quoted for you; `launcher` words go before it. `env` and `secrets`
    reach the job through the channel's stdin only. `setup` is shell text that runs first, once per `setup_key`
    and machine (stamp in `setup_dir`, by default `setup` beside the folder of runs), in a shell of its own.
    The log is cut at `log_cap_bytes` (0: never).
    """

    run_dir: str
    work_dir: str
    command: str | tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    setup: str = ""
    setup_key: str = ""
    setup_dir: str = ""
    launcher: tuple[str, ...] = ()
    tty: bool = False
    log_cap_bytes: int = 1 << 30


@dataclass(frozen=True)
class RunStatus:
    """How a run stands: `state` is setup, running, exited, lost (machine rebooted, supervisor killed) or none.

    Times are by our clock. `disk_full`: the machine's disk was when the run ended, so its log may lack the end.
    `told_epoch_s`: when it was told to end because the run had failed on another node; its code is our doing then.
    """

    state: str
    exit_code: int | None = None
    log_bytes: int = 0
    started_epoch_s: float | None = None
    ended_epoch_s: float | None = None
    setup_failed: bool = False
    disk_full: bool = False
    told_epoch_s: float | None = None


RunEnd = RunStatus


def start(transport: Transport, spec: RunSpec) -> None:
    """Begin the run; one that exists already is left alone, so a start whose answer was lost may be repeated."""
    words: dict[str, Argument] = {
        "run": spec.run_dir,
        "work": spec.work_dir,
        "tty": spec.tty,
        "cap": spec.log_cap_bytes,
    }
    with Talk(transport, "start", words) as talk:
        text = job_text(spec) if transport.dialect == "sh" else job_json(spec)
        talk.process.write(text.encode("utf-8", "surrogateescape"))
        talk.process.end_input()
        talk.head()
        if not talk.ended_well():
            raise talk.failure()


def job_text(spec: RunSpec) -> str:
    """The job as shell text, environment and secrets first; what the machine's own file sets wins (leased GPUs)."""
    lines = [f"export {name}={shell_quoted(value)}" for name, value in sorted(_environment(spec).items())]
    file = _from_home(f"{spec.run_dir.rstrip('/').rpartition('/')[0].rpartition('/')[0]}/{ENVIRONMENT_FILE}")
    lines.append(f"if [ -r {file} ]; then . {file}; fi")
    if spec.setup:
        lines += _setup_lines(spec)
    if spec.tty:
        lines.append('stty rows "${LINES:-24}" cols "${COLUMNS:-80}" 2>/dev/null || :')
    lines.append(_command_line(spec))
    return "\n".join([*lines, "#gpucloud-end"])


def job_json(spec: RunSpec) -> str:
    """The same job for a machine that starts it in Python."""
    import json

    job = {
        "environment": _environment(spec),
        "words": [*spec.launcher, *spec.command] if not isinstance(spec.command, str) else [],
        "text": _shell_text(spec),
        "setup": spec.setup,
        "stamp": _setup_stamp(spec) if spec.setup else "",
    }
    return json.dumps(job)


def _environment(spec: RunSpec) -> dict[str, str]:
    values = {**spec.env, **{name: secret.reveal() for name, secret in spec.secrets.items()}}
    for name, value in values.items():
        if not NAME.match(name):
            raise UsageError(f"{name!r} cannot be the name of an environment variable.", "Use letters, digits and _.")
        if "\0" in value:
            raise UsageError(f"The value of {name} holds a NUL byte.", "Pass it as a file.")
    return values


def _setup_stamp(spec: RunSpec) -> str:
    if not spec.setup_key:
        raise UsageError("A set-up needs a key that changes with its text and inputs.", "Give setup_key.")
    folder = spec.setup_dir or f"{spec.run_dir.rstrip('/').rpartition('/')[0]}/../{SETUP_DIR}"
    return f"{folder}/{spec.setup_key}"


def _setup_lines(spec: RunSpec) -> list[str]:
    return [
        f"setup_text={shell_quoted(spec.setup)}",
        f"setup_stamp={_from_home(_setup_stamp(spec))}",
        f"setup_run={_from_home(spec.run_dir)}",
        script("setup.sh").rstrip("\n"),
    ]


def _from_home(path: str) -> str:
    """A shell word for a path that is relative to the login home, from any folder."""
    return shell_quoted(path) if path.startswith("/") else f'"$HOME"/{shell_quoted(path)}'


def _shell_text(spec: RunSpec) -> str:
    """The command as shell text where it was given as such, else empty. The launcher starts a shell with all of it:
    put before the text, its words would reach only the first command in it."""
    if not isinstance(spec.command, str):
        return ""
    words = [*spec.launcher, "/bin/sh", "-c", spec.command]
    return "exec " + " ".join(shell_quoted(word) for word in words) if spec.launcher else spec.command


def _command_line(spec: RunSpec) -> str:
    if isinstance(spec.command, str):
        return f"eval {shell_quoted(_shell_text(spec))}"
    return "exec " + " ".join(shell_quoted(word) for word in [*spec.launcher, *spec.command])


def follow(
    connect: Callable[[], Transport],
    run_dir: str,
    offset: int,
    sink: Callable[[bytes], None],
    *,
    patience_s: float = 600.0,
    on_lost: Callable[[Unreachable], None] | None = None,
    wait: bool = True,
) -> RunEnd:
    """Give the log from byte `offset` to `sink`, each byte once and in order, until the run has ended.

    `connect()` gives the connection at first and again after each Unreachable; `on_lost` is told of each. After
    `patience_s` without a connection the last Unreachable is raised. With `wait=False` what is there now is given
    and the present state returned. To go on after an exception add the bytes given to `sink` to `offset`.
    """
    given = _Given(offset, sink)
    pause_s, lost_at = FIRST_PAUSE_S, None
    while True:
        before = given.offset
        try:
            end = _follow_once(connect(), run_dir, given, wait)
        except Unreachable as error:
            if on_lost is not None:
                on_lost(error)
            now = time.monotonic()
            if lost_at is None or given.offset > before:
                lost_at, pause_s = now, FIRST_PAUSE_S
            if now - lost_at > patience_s:
                raise
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            continue
        lost_at = None
        if end is not None:
            return end


class _Given:
    """Counts what the sink has got."""

    def __init__(self, offset: int, sink: Callable[[bytes], None]) -> None:
        self.offset = offset
        self._sink = sink

    def give(self, data: bytes) -> None:
        self._sink(data)
        self.offset += len(data)


def _follow_once(transport: Transport, run_dir: str, given: _Given, wait: bool) -> RunEnd | None:
    """One connection's worth; None when the log must be asked for again (its cap was reached)."""
    words: dict[str, Argument] = {"run": run_dir, "offset": given.offset, "wait": wait}
    with Talk(transport, "follow", words) as talk:
        limit = int(talk.head().get("limit") or 0)
        while data := talk.read():
            if limit and given.offset + len(data) > limit:
                if given.offset < limit:
                    given.give(data[: limit - given.offset])
                break
            given.give(data)
        else:
            return _end_of(talk)
        return None if wait else _present(transport, run_dir)


def _present(transport: Transport, run_dir: str) -> RunStatus:
    return status(transport, [run_dir])[run_dir]


def _end_of(talk: Talk) -> RunEnd | None:
    """The status that closes stderr. Without one the machine asks to be asked again, or the link is gone."""
    code = talk.process.wait()
    for line in reversed(talk.complaints().splitlines()):
        if line.startswith(STATUS_MARK):
            return _parse(line[len(STATUS_MARK) :])
    if code == 0:
        return None
    raise Unreachable(f"Following the log ended with status {code}.", talk.complaints_so_far()[-200:])


def _parse(line: str) -> RunStatus:
    state, code, size, started, ended, now, full, told, *_ = [*line.split(), "-", "-", "-"]
    failed = state == "setup-failed"
    ahead_s = 0.0 if now == "-" else float(now) - time.time()
    if abs(ahead_s) <= CLOCKS_AGREE_S:
        ahead_s = 0.0
    return RunStatus(
        state="exited" if failed else state,
        exit_code=None if code == "-" else int(code),
        log_bytes=int(size),
        started_epoch_s=None if started == "-" else float(started) - ahead_s,
        ended_epoch_s=None if ended == "-" else float(ended) - ahead_s,
        setup_failed=failed,
        disk_full=full == "full",
        told_epoch_s=None if told == "-" else float(told) - ahead_s,
    )


def signal(transport: Transport, run_dir: str, name: str, *, others: bool = False) -> bool:
    """Send the signal `name` (INT, TERM, KILL, …) to the whole job; False when there is nothing to signal.

    `others`: because the run failed on another node; the machine notes when, see `RunStatus.told_epoch_s`.
    """
    with Talk(transport, "signal", {"run": run_dir, "signal": name.removeprefix("SIG"), "others": others}) as talk:
        talk.head()
        return talk.line() == b"ok\n"


def status(transport: Transport, run_dirs: Sequence[str]) -> dict[str, RunStatus]:
    """How each of these runs stands."""
    if not run_dirs:
        return {}
    with Talk(transport, "status", {"runs": list(run_dirs)}) as talk:
        talk.head()
        found = {run_dir: talk.line().decode() for run_dir in run_dirs}
    if not all(found.values()):
        raise HostError("The machine did not tell how its runs stand.", talk.complaints_so_far()[-200:])
    return {run_dir: _parse(line) for run_dir, line in found.items()}
