"""What the parser refuses, as our sentences: the option that was meant, the missing word and what it stands for."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import Any

from gpucloud.cli.registry import SECTIONS, Entry, Group
from gpucloud.core.errors import UsageError, nearest

ALIKE = 0.75  # how much of an option's letters has to agree
NUMBERS = {"a valid int": "a whole number", "a valid integer": "a whole number", "a valid float": "a number"}
EXTRA = re.compile(r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)")

ELSEWHERE = {  # what other tools call it
    "create": "up",
    "launch": "up",
    "provision": "up",
    "list": "ls",
    "status": "ls",
    "delete": "down",
    "destroy": "down",
    "remove": "down",
    "rm": "down",
    "terminate": "down",
    "kill": "cancel",
    "shell": "ssh",
    "submit": "run",
    "price": "compare",
    "prices": "compare",
    "help": "--help",
    "version": "--version",
    "completion": "--show-completion",
}


def unknown_command(name: str, known: list[str], path: str) -> UsageError:
    """Names the command that was meant: of a group, of another tool, or the one that is spelt most alike."""
    if path != "gpucloud":
        close, place = nearest(name, known, 1), f" in `{path}`"
    else:
        inside = [f"{group} {name}" for group, table in _groups().items() if name in table]
        close, place = ([ELSEWHERE[name]] if name in ELSEWHERE else inside or nearest(name, known, 1)), ""
    hint = f"Did you mean `{path} {close[0]}`?" if close else f"See `{path} --help`."
    return UsageError(f"There is no command '{name}'{place}.", hint)


def _groups() -> dict[str, Group]:
    rows = [row for section in SECTIONS.values() for row in section.items()]
    return {name: entry[1] for name, entry in rows if not isinstance(entry, Entry)}


def explain(error: Any) -> UsageError:
    """Our error for one of the parser's."""
    context = getattr(error, "ctx", None)
    where = f"See `{context.command_path} --help`." if context is not None else "See `gpucloud --help`."
    option = getattr(error, "option_name", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return _needs_a_command(context)
    if option is not None and type(error).__name__ == "NoSuchOption":
        return UsageError(f"No such option: {option}.", _instead_of(option, context) + where)
    text = error.format_message()
    too_many = EXTRA.match(text)
    if too_many and context is not None:
        return UsageError(f"Too many words: {too_many[1]}.", f"It is `{_usage(context)}`. {where}")
    return UsageError(_sentence(text), _meaning(getattr(error, "param", None)) + where)


def _instead_of(option: str, context: Any) -> str:
    """The option that was meant, or that what it would hold is a word of its own, as in `compare A100`."""
    typed = option.lstrip("-").replace("-", "_")
    words = [param for param in context.command.params if param.param_type_name == "argument"] if context else []
    if any(param.name in (typed, f"{typed}s") for param in words):
        return f"It stands without an option: `{_usage(context)}`. "
    close = nearest_options(option, context)
    return f"Did you mean {' or '.join(f'`{name}`' for name in close)}? " if close else ""


def _usage(context: Any) -> str:
    return " ".join((context.command_path, *context.command.collect_usage_pieces(context)))


def _needs_a_command(context: Any) -> UsageError:
    names = ", ".join(context.command.list_commands(context))
    path = context.command_path
    return UsageError(f"Which command of `{path}` is not said.", f"It has {names}: see `{path} --help`.")


def nearest_options(typed: str, context: Any) -> list[str]:
    """At most two options of the command: begun like this, else alike as a whole, else with a word in common."""
    params = context.command.params if context is not None else []
    known = [name for param in params for name in (*param.opts, *param.secondary_opts) if name.startswith("--")]
    begun = [name for name in known if name.startswith(typed) and typed.strip("-")]
    likeness = {name: SequenceMatcher(None, typed.strip("-"), name.strip("-")).ratio() for name in known}
    ranked = sorted(known, key=lambda name: (-len(_words(typed) & _words(name)), -likeness[name]))
    alike = [name for name in sorted(known, key=lambda name: -likeness[name]) if likeness[name] >= ALIKE]
    return begun[:2] or alike[:1] or [name for name in ranked if _words(typed) & _words(name)][:2]


def _words(option: str) -> set[str]:
    return {word for word in option.strip("-").split("-") if len(word) > 2}  # not `no`, `at`


def _meaning(param: Any) -> str:
    text = getattr(param, "help", None)
    if not text:
        return ""
    option = next((name for name in param.opts if name.startswith("--")), None)
    return f"{option}: {text} " if option else f"{text} "


def _sentence(text: str) -> str:
    for machine, people in NUMBERS.items():
        text = text.replace(machine, people)
    return text if text.endswith((".", "?")) else text + "."
