"""`gpucloud-host VERB JSON`: a blocking Python function in a thread, on real pipes wired to the SSH channel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gpucloud.hostside.machine import Machine, log
from gpucloud.hostside.shell import answer, wide_pipe
from gpucloud.hostside.wires import Wires
from gpucloud.hostside.work import ServeVerb

WORD = "gpucloud-host"
BAD_WORDS, OUR_BUG = 2, 70  # exit codes: not a verb and a JSON object; the verb raised


def is_verb(command: str | None) -> bool:
    """Whether an exec command is one of our verbs rather than the user's own."""
    return command is not None and command.split(" ", 1)[0] == WORD


def parse(command: str) -> tuple[str, Mapping[str, Any]]:
    """The verb and its arguments. Raises ValueError for anything else."""
    words = command.split(" ", 2)
    if len(words) != 3:
        raise ValueError("not VERB JSON")
    args = json.loads(words[2])
    if not isinstance(args, dict):
        raise ValueError("the arguments are not a JSON object")
    return words[1], args


async def run_verb(session: Any, machine: Machine, serve_verb: ServeVerb) -> None:
    """Answer one verb: its return value becomes the exit status."""
    try:
        verb, args = parse(session.command)
    except ValueError as error:
        session.stderr.write(f"{WORD}: {error}\n".encode())
        session.exit(BAD_WORDS)
        return
    visit = replace(machine, gone=threading.Event())
    (stdin, to_verb), (from_verb, stdout), (errors, stderr) = wide_pipe(), wide_pipe(), os.pipe()
    loop = asyncio.get_running_loop()
    status: asyncio.Future[int] = loop.create_future()

    def work() -> None:
        with _streams(stdin, stdout, stderr) as streams:
            code = _guarded(verb, args, streams, visit, serve_verb)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the machine ends
            loop.call_soon_threadsafe(status.set_result, code)

    threading.Thread(target=work, name=f"verb {verb}", daemon=True).start()
    await answer(session, Wires(session, to_verb, from_verb, errors), status, visit.gone.set)


@contextlib.contextmanager
def _streams(stdin: int, stdout: int, stderr: int) -> Any:
    """Blocking streams; a write goes out whole and at once, no flush is needed."""
    with contextlib.ExitStack() as stack:
        reader = stack.enter_context(os.fdopen(stdin, "rb", buffering=1 << 18))
        writers = [os.fdopen(descriptor, "wb", buffering=0) for descriptor in (stdout, stderr)]
        for writer in writers:
            stack.enter_context(writer)
        yield reader, *writers


def _guarded(
    verb: str, args: Mapping[str, Any], streams: tuple[Any, Any, Any], visit: Machine, serve_verb: ServeVerb
) -> int:
    stdin, stdout, stderr = streams
    try:
        return serve_verb(verb, args, stdin, stdout, stderr, visit)
    except BrokenPipeError:
        return 141  # 128 + SIGPIPE: nobody reads any more
    except Exception as error:
        log(f"verb {verb}: {type(error).__name__}: {error}")
        with contextlib.suppress(OSError):
            stderr.write(f"{type(error).__name__}: {error}\n".encode())
        return OUR_BUG
