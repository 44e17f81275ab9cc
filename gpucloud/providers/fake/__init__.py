"""A cloud that exists only on paper: regions, prices, scripted failures, recorded calls; for tests and rehearsals.

Its state lies in `<home>/fake/cloud.json`, so commands in separate processes see the same cloud. The script
is a JSON file named by `GPUCLOUD_FAKE_SCRIPT` (see `script.py`). `GPUCLOUD_FAKE_SSH=1` gives every machine a
real SSH server; without it machines have no address, and are ready as soon as they run.
"""

from __future__ import annotations

from gpucloud.core.cloud import Provider
from gpucloud.providers.fake.cloud import FakeProvider
from gpucloud.providers.fake.script import load_script
from gpucloud.providers.fake.store import FileStore
from gpucloud.providers.site import Site


def open_provider(site: Site) -> Provider:
    """The fake cloud of this home."""
    store = FileStore(site.root / "fake" / "cloud.json")
    script = load_script(site.environ.get("GPUCLOUD_FAKE_SCRIPT", ""))
    if site.environ.get("GPUCLOUD_FAKE_SSH") != "1":
        return FakeProvider(store, script)
    from gpucloud.providers.fake.reachable import ReachableFake

    return ReachableFake(store, script, site.root, site.environ)
