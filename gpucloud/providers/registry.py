"""The one place where drivers are registered: a cloud's name and the module that speaks to it.

A driver's module has `open_provider(site: Site) -> Provider` and is imported only when that cloud is used.
Third parties register in the entry point group `gpucloud.providers`; that list is read only for a name
that is not here, because reading it is slow.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

from gpucloud.core.cloud import Provider
from gpucloud.core.errors import UsageError, nearest
from gpucloud.providers.site import Site

DRIVERS = {
    "aws": "gpucloud.providers.aws",
    "gcp": "gpucloud.providers.gcp",
    "azure": "gpucloud.providers.azure",
    "local": "gpucloud.providers.local",
    "ssh": "gpucloud.providers.ssh",
    "fake": "gpucloud.providers.fake",
}
ENTRY_POINTS = "gpucloud.providers"
FAKE_SCRIPT = "GPUCLOUD_FAKE_SCRIPT"


def known_clouds() -> tuple[str, ...]:
    """The clouds of this package, for hints and completion; `fake` is for tests and left out."""
    return tuple(name for name in DRIVERS if name != "fake")


def usual_clouds(site: Site) -> tuple[str, ...]:
    """The clouds that `gc`, `check` and `down` of a lost name ask: those with a driver here.

    The fake one only takes part where it was used or a script for it is set, own machines where there are any.
    """
    left_out = set()
    if FAKE_SCRIPT not in site.environ and not (site.root / "fake").exists():
        left_out.add("fake")
    if not (site.root / "hosts.yaml").exists():
        left_out.add("ssh")
    return tuple(name for name, module in DRIVERS.items() if name not in left_out and has_driver(module))


def has_driver(module: str) -> bool:
    """Whether the driver's module exists in this installation."""
    return find_spec(module) is not None


def open_provider(name: str, site: Site) -> Provider:
    """The driver of a cloud, by name. Raises UsageError for a cloud that is not known or has no driver yet."""
    module = DRIVERS.get(name)
    if module is None:
        return _from_elsewhere(name, site)
    if not has_driver(module):
        there = ", ".join(cloud for cloud in known_clouds() if has_driver(DRIVERS[cloud]))
        raise UsageError(f"gpucloud has no driver for '{name}' yet.", f"Drivers in this version: {there or 'none'}.")
    return cast(Provider, import_module(module).open_provider(site))


def _from_elsewhere(name: str, site: Site) -> Provider:
    from importlib.metadata import entry_points

    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return cast(Provider, entry.load()(site))
    close = nearest(name, list(known_clouds()))
    meant = f"Did you mean {', '.join(close)}? " if close else ""
    raise UsageError(
        f"gpucloud cannot start machines at '{name}'.",
        f"{meant}It can at {', '.join(known_clouds())}; other clouds it only compares.",
    )
