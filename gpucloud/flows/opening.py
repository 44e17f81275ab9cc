"""Opening the home: the one place where the real clock, clouds, keys and readiness are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gpucloud.flows.context import Clouds, Context, Narrator, Readiness, Waits
from gpucloud.flows.readiness import SshReadiness, public_key
from gpucloud.providers.site import Site
from gpucloud.state.home import Home
from gpucloud.state.journal import Journal


def open_context(
    environ: Mapping[str, str],
    narrate: Narrator = lambda sentence: None,
    *,
    readiness: Readiness | None = None,
    ask_remove: Callable[[str], bool] = lambda question: True,
) -> Context:
    """Everything a flow needs, from the environment. Close `journal` when the command ends.

    Raises StateConflict when the home or its journal cannot be used; nothing is touched then.
    """
    home = Home.from_environment(environ)
    journal = Journal.open(home, warn=narrate)
    return Context(
        home=home,
        journal=journal,
        clouds=Clouds(Site(home.root, home.home_id(), environ)),
        readiness=readiness or SshReadiness(home),
        public_key=lambda: public_key(home),
        narrate=narrate,
        waits=Waits.from_environment(environ),
        ask_remove=ask_remove,
    )
