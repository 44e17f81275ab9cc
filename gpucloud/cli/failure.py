"""How a failed command ends: one sentence, one hint, the right exit code; with `--debug` a traceback and a bundle."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from gpucloud.cli import streams
from gpucloud.cli.options import Globals
from gpucloud.core.errors import GpucloudError, Interrupted
from gpucloud.render.paint import painter, with_commands

ONLY_READ = ("ls", "cost", "ps", "logs", "check")  # beside what chooses: a reader who leaves ends nothing


def report(error: BaseException, words: list[str], options: Globals) -> int:
    """Print `error` on stderr as a sentence or a JSON object and return the exit code."""
    if isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError):
        error = error.__context__  # the parser makes an exit of it
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 0
    if isinstance(error, BrokenPipeError) and _only_reads(words):
        streams.mute(sys.stdout)  # `gpucloud … | head`: the reader has enough
        return 0
    ours = explain(error)
    if isinstance(error, BrokenPipeError):
        streams.mute(sys.stdout)
    try:
        _tell(error, ours, words, options)
    except OSError:  # nobody hears it; the exit code still says it
        streams.mute(sys.stderr)
    return ours.exit_code


def _tell(error: BaseException, ours: GpucloudError, words: list[str], options: Globals) -> None:
    if options.debug or "--debug" in words:
        import traceback

        from gpucloud.cli.debug_bundle import leave

        traceback.print_exception(error)
        leave(error, ours, words)
    show(ours, _wants_json(words, options), sys.stderr)
    sys.stderr.flush()


def explain(error: BaseException) -> GpucloudError:
    """The member of our family that says what `error` means to the user."""
    if isinstance(error, GpucloudError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return Interrupted("Interrupted.", "Nothing was lost; `gpucloud ls` shows what exists.")
    if hasattr(error, "format_message"):  # the parser's own errors, in whichever module Typer keeps them
        from gpucloud.cli import misspelt

        return misspelt.explain(error)
    if type(error).__name__ == "Abort":
        return Interrupted("Stopped at the question; nothing was changed.", "Use --yes to answer yes.")
    if isinstance(error, BrokenPipeError):
        hint = "It may have been done nevertheless: `gpucloud ls` and `gpucloud ps` show what exists."
        return GpucloudError("A pipe or a connection closed before the command had ended.", hint)
    if isinstance(error, OSError):
        return _from_os(error)
    kind = type(error).__name__
    return GpucloudError(
        f"A bug in gpucloud: {kind}: {error}",
        "Run it again with --debug and report it with the bundle that this writes.",
    )


def _from_os(error: OSError) -> GpucloudError:
    where = f" ({error.filename})" if error.filename else ""
    sentence = f"The system refused: {error.strerror or error}{where}."
    return GpucloudError(sentence, "Check the path, its permissions and the free space, then try again.")


def show(error: GpucloudError, as_json: bool, stream: TextIO) -> None:
    """The error as it is printed."""
    if as_json:
        print(json.dumps(error.as_json(), indent=2), file=stream)
        return
    paint = painter(stream)
    print(paint("Error:", "bad"), with_commands(error.message, paint), file=stream)
    if error.hint:
        print(with_commands(f"  {error.hint}", paint), file=stream)


def _wants_json(words: list[str], options: Globals) -> bool:
    if options.output == "json":
        return True
    joined = " ".join(words)
    return any(form in f"{joined} " for form in ("-o json ", "--output json ", "--output=json ", "-ojson "))


def _only_reads(words: list[str]) -> bool:
    from gpucloud.cli import registry

    command = next((word for word in words if registry.find(word) is not None), "")
    return not command or command in registry.SECTIONS["Choose"] or command in ONLY_READ
