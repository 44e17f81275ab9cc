"""What a command needs from the outside: the home, the journal, the clouds, connections, and the user's answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from gpucloud.cli.options import current, narrate
from gpucloud.core.errors import Interrupted

if TYPE_CHECKING:
    from gpucloud.flows.context import Context
    from gpucloud.flows.machines import Dial
    from gpucloud.state.home import Home


def home() -> Home:
    """The user's home of gpucloud; nothing is created."""
    from gpucloud.state.home import Home

    return Home.from_environment(os.environ)


@contextmanager
def context() -> Iterator[Context]:
    """The flows' outside, with the journal open."""
    from gpucloud.flows.context import Clouds, Context, Waits
    from gpucloud.flows.over_ssh import OverSsh, dialer, public_key
    from gpucloud.providers.site import Site
    from gpucloud.remote.scripts import template_dir
    from gpucloud.state.journal import Journal

    place = home()
    journal = Journal.open(place, warn=narrate)
    try:
        yield Context(
            home=place,
            journal=journal,
            clouds=Clouds(Site(place.root, place.home_id(), dict(os.environ), template_dir(), dialer(place))),
            readiness=OverSsh(place),
            public_key=lambda: public_key(place),
            narrate=narrate,
            waits=Waits.from_environment(os.environ),
            ask_remove=lambda question: ask(question, default=True),
        )
    finally:
        journal.close()


def dial() -> Dial:
    """Opens a pinned SSH connection to an endpoint."""
    from gpucloud.flows.over_ssh import dialer

    return dialer(home())


def can_ask() -> bool:
    """Whether a question would reach a person."""
    return not current().no_input and sys.stdin.isatty() and sys.stderr.isatty()


def ask(question: str, default: bool) -> bool:
    """A yes-no question on the terminal; `default` where nobody can answer."""
    return typer.confirm(question, default=default, err=True) if can_ask() else default


def confirm(question: str, yes: bool) -> None:
    """Go on only with a yes: `--yes`, or the user's. Raises Interrupted, with nothing changed, otherwise."""
    if yes or (can_ask() and typer.confirm(question, default=False, err=True)):
        return
    hint = "Answer yes, or give --yes." if can_ask() else "Nobody can be asked here: give --yes."
    raise Interrupted("Nothing was changed.", hint)
