"""Where drivers are found, and what is said when there is none."""

import subprocess
import sys

import pytest

from gpucloud.core.errors import UsageError
from gpucloud.providers import registry
from gpucloud.providers.site import Site


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path, "home2345", {})


def test_an_unknown_cloud_gets_the_nearest_names(site):
    with pytest.raises(UsageError) as caught:
        registry.open_provider("azur", site)
    assert "azure" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_cloud_without_a_driver_says_so(site, monkeypatch):
    monkeypatch.setitem(registry.DRIVERS, "moon", "gpucloud.providers.moon")
    with pytest.raises(UsageError, match="no driver for 'moon'"):
        registry.open_provider("moon", site)
    assert "moon" not in registry.usual_clouds(site)


def test_third_parties_register_by_entry_point(site, monkeypatch):
    import importlib.metadata

    class Entry:
        @staticmethod
        def load():
            return lambda site: ("their driver", site)

    asked = []

    def entry_points(**words):
        asked.append(words)
        return [Entry] if words["name"] == "lambda" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert registry.open_provider("lambda", site) == ("their driver", site)
    registry.open_provider("fake", site)
    assert asked == [{"group": "gpucloud.providers", "name": "lambda"}], "only asked for a name that is not here"


def test_the_fake_cloud_takes_part_only_where_it_is_used(site, tmp_path):
    assert "fake" not in registry.usual_clouds(site)
    assert "fake" in registry.usual_clouds(Site(tmp_path, "h", {"GPUCLOUD_FAKE_SCRIPT": "x"}))
    (tmp_path / "fake").mkdir()
    assert "fake" in registry.usual_clouds(site)
    assert "fake" not in registry.known_clouds()


def test_looking_up_a_name_imports_no_driver():
    words = "import sys, gpucloud.flows.ls, gpucloud.flows.down; print([m for m in sys.modules if m in %r])"
    heavy = ("paramiko", "asyncssh", "yaml", "pathspec", "zstandard", "boto3", "gpucloud.providers.local")
    answer = subprocess.run([sys.executable, "-c", words % (heavy,)], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
