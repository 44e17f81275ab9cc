"""What a command needs from the outside: the home, the journal, the clouds, connections, and the user's answers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from gpucloud.cli.options import current, narrate, spoken_aside
from gpucloud.core.errors import Interrupted, Unreachable

if TYPE_CHECKING:
    from gpucloud.catalog.catalog import Catalog
    from gpucloud.core.cloud import Endpoint
    from gpucloud.core.offers import Accelerator, Offer
    from gpucloud.core.wire import Transport
    from gpucloud.flows.context import Context
    from gpucloud.flows.machines import Dial
    from gpucloud.providers.site import Site
    from gpucloud.render.live import LiveLine
    from gpucloud.state.home import Home

P = ParamSpec("P")
T = TypeVar("T")

_waits: tuple[LiveLine, str] | None = None  # the line that is drawn now, and what it says


def home() -> Home:
    """The user's home of gpucloud; nothing is created."""
    from gpucloud.state.home import Home

    return Home.from_environment(os.environ)


def opened_catalog() -> Catalog:
    """The catalog with the user's overlay; a live line while its index must be built."""
    from gpucloud.catalog.catalog import open_catalog

    place = home()
    return open_catalog(place.catalog, place.cache, while_building=lambda: waiting("building the catalog's index"))


@contextmanager
def waiting(sentence: str) -> Iterator[None]:
    """A live line for what is inside, where no context is open that has its own. Inside another, it is told instead."""
    global _waits
    outer = _waits
    line = outer[0] if outer else _live_line()
    _waits = (line, sentence)
    line.show(sentence)
    try:
        with spoken_aside(line.aside):
            yield
    finally:
        _waits = outer
        line.show(outer[1] if outer else "")


def _live_line() -> LiveLine:
    from gpucloud.render.live import LiveLine

    return LiveLine(sys.stderr, enabled=not current().quiet)


@contextmanager
def context() -> Iterator[Context]:
    """The flows' outside, with the journal open."""
    from gpucloud.flows.context import Clouds, Context, Waits
    from gpucloud.flows.over_ssh import OverSsh, public_key
    from gpucloud.state.journal import Journal

    place = home()
    _quiet_libraries()
    line = _live_line()
    say, asking = _beside(line, narrate), _beside(line, ask)
    journal = Journal.open(place, warn=narrate)
    try:
        yield Context(
            home=place,
            journal=journal,
            clouds=Clouds(_site(place)),
            readiness=OverSsh(place),
            public_key=lambda: public_key(place),
            narrate=say,
            status=line.show,
            waits=Waits.from_environment(os.environ),
            dial=dial(line.aside),
            own_address=_own_address,
            ask_remove=lambda question: asking(question, default=True),
        )
    finally:
        line.show("")
        journal.close()


def _beside(line: LiveLine, speak: Callable[P, T]) -> Callable[P, T]:
    """What writes to the terminal does it while the live line is away."""

    def speaking(*args: P.args, **more: P.kwargs) -> T:
        with line.aside():
            return speak(*args, **more)

    return speaking


def _quiet_libraries() -> None:
    """What a cloud's library logs is no part of our answer; errors arrive as exceptions."""
    import logging

    if not current().debug:
        logging.getLogger().addHandler(logging.NullHandler())


def _site(place: Home) -> Site:
    """What drivers are told about the place they work from."""
    from gpucloud.providers.site import Site
    from gpucloud.remote.scripts import template_dir

    return Site(place.root, place.home_id(), dict(os.environ), template_dir(), dial(), _card)


def _card(name: str) -> Accelerator:
    """A card by any of its names; of several that it may be, the one with the least memory, which promises least."""
    from gpucloud.catalog.catalog import open_catalog
    from gpucloud.core.accelerators import parse_request

    place = home()
    with open_catalog(place.catalog, place.cache) as catalog:
        cards = catalog.accelerators()
        meant = parse_request(name, cards, catalog.aliases()).accelerators
    return min((card for card in cards if card.name in meant), key=lambda card: (card.memory_gib or 0, card.name))


def own_offers(clouds: Sequence[str]) -> list[Offer]:
    """The offers of those of these clouds that sell their own: this computer and the machines you own."""
    from gpucloud.core.cloud import SellsOffers
    from gpucloud.providers.registry import open_provider

    site = _site(home())
    opened = [open_provider(cloud, site) for cloud in clouds]
    return [offer for provider in opened if isinstance(provider, SellsOffers) for offer in provider.offers()]


def _own_address() -> str:
    from gpucloud.remote.address import own_address

    return own_address(os.environ)


def dial(aside: Callable[[], AbstractContextManager[None]] = nullcontext) -> Dial:
    """Opens a pinned SSH connection to an endpoint; a person may be asked about the key of an own machine.

    Where nobody answers, the error says so if this computer's address has changed.
    """
    from gpucloud.flows.over_ssh import dialer

    def trusted(question: str) -> bool:
        with aside():
            return can_ask() and typer.confirm(question, default=False, err=True)

    plain = dialer(home(), trusted)

    def dialing(endpoint: Endpoint) -> Transport:
        try:
            return plain(endpoint)
        except Unreachable as error:
            error.hint = _changed_address(endpoint) or error.hint
            raise

    return dialing


def _changed_address(endpoint: Endpoint) -> str:
    from gpucloud.flows.letting_in import changed_address

    with context() as ctx:
        known = ctx.journal.present().deployments.get(endpoint.base_dir.rpartition("/")[2])
        return changed_address(ctx, known) if known is not None else ""


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
