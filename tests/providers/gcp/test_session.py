"""Who we are: every link of the chain, the project, the endpoint; and that nothing is imported before it is needed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gpucloud.core import errors
from gpucloud.core.cloud import CanAllow, CanExtend, CanStop, NamesPlaces, TellsGuards, TellsOutline, TellsQuotas, Warms
from gpucloud.providers.gcp import open_provider
from gpucloud.providers.gcp.session import endpoint
from gpucloud.providers.site import Site
from tests.clouds.gcp.sim import GcpSim
from tests.clouds.tls import certificates
from tests.providers.gcp.conftest import error_of


def identity(tmp_path, environ):
    return open_provider(Site(tmp_path, "home", environ)).identity()


@pytest.fixture
def user(sim, monkeypatch):
    """The environment of somebody who has logged in with gcloud; the library knows one token service only."""
    from google.oauth2 import credentials

    monkeypatch.setattr(credentials, "_GOOGLE_OAUTH2_TOKEN_ENDPOINT", f"{sim.url}/token")
    more = {"GOOGLE_APPLICATION_CREDENTIALS": str(sim.user_file), "GOOGLE_CLOUD_PROJECT": "lab-project"}
    return {**sim.environ, **more}


def test_a_service_account(sim, tmp_path):
    who = identity(tmp_path, sim.environ)
    assert (who.account, who.principal) == ("lab-project", "builder@lab-project.iam.gserviceaccount.com")
    assert who.via == "GOOGLE_APPLICATION_CREDENTIALS (service account)" and who.endpoint == sim.url
    assert len(who.owner) == 12 and sim.tokens.asked == 0, "it signs its own tokens"


def test_a_user_asks_for_tokens(sim, tmp_path, user):
    who = identity(tmp_path, user)
    assert who.account == "lab-project" and "authorized user" in who.via and sim.tokens.asked == 1


def test_gclouds_own_credentials(sim, tmp_path, monkeypatch, user):
    folder = tmp_path / "gcloud"
    folder.mkdir()
    sim.tokens.user_file(folder / "application_default_credentials.json", sim.url)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(folder))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("PATH", "/nowhere")
    environ = {key: value for key, value in sim.environ.items() if key != "GOOGLE_APPLICATION_CREDENTIALS"}
    who = identity(tmp_path, {**environ, "GOOGLE_CLOUD_PROJECT": "lab-project"})
    assert who.via == "gcloud application-default credentials"
    error = error_of(lambda: identity(tmp_path, environ))
    assert isinstance(error, errors.CredentialsError) and "GOOGLE_CLOUD_PROJECT" in error.hint


def test_no_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    error = error_of(lambda: identity(tmp_path, {}))
    assert isinstance(error, errors.CredentialsError) and "gcloud auth application-default login" in error.hint


@pytest.mark.parametrize("text", ["", "no json", '{"type": "service_account"}', '{"type": "carrot"}', "[]"])
def test_a_file_that_is_no_key(tmp_path, text):
    file = tmp_path / "key.json"
    file.write_text(text)
    error = error_of(lambda: identity(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(file)}))
    assert isinstance(error, errors.CredentialsError) and "\n" not in error.message
    error = error_of(lambda: identity(tmp_path, {"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "none")}))
    assert isinstance(error, errors.CredentialsError)


def test_no_secret_in_an_error_or_a_repr(sim, tmp_path):
    key = json.loads(sim.key_file.read_text())["private_key"]
    provider = open_provider(Site(tmp_path, "home", sim.environ))
    provider.identity()
    assert key[40:80] not in repr(provider._api.session) + repr(provider._site)
    sim.tokens.revoked = True
    error = error_of(provider.identity)
    assert isinstance(error, errors.CredentialsError) and key[40:80] not in error.message + error.hint


def test_expired(sim, tmp_path, user):
    sim.tokens.revoked = True
    error = error_of(lambda: identity(tmp_path, user))
    assert isinstance(error, errors.CredentialsError) and "expired or revoked" in error.message


def test_a_wrong_project(sim, tmp_path):
    error = error_of(lambda: identity(tmp_path, {**sim.environ, "GOOGLE_CLOUD_PROJECT": "other-project"}))
    assert isinstance(error, errors.CredentialsError) and "other-project" in error.message


def test_a_service_that_is_off(sim, tmp_path):
    sim.enabled = False
    error = error_of(lambda: identity(tmp_path, sim.environ))
    assert isinstance(error, errors.NotRegistered) and "gcloud services enable compute" in error.hint


def test_a_private_authority(tmp_path, monkeypatch):
    made = certificates(tmp_path / "tls")
    with GcpSim(tmp_path / "cloud", tls=made.pair) as sim:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made.authority))
        assert identity(tmp_path, sim.environ).account == "lab-project"
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")
        assert isinstance(error_of(lambda: identity(tmp_path, sim.environ)), errors.AmbiguousError)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", "https://compute.googleapis.com"),
        ("http://127.0.0.1:1/compute/v1/", "http://127.0.0.1:1"),
        ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ("https://compute-psc.p.googleapis.com/compute/v1", "https://compute-psc.p.googleapis.com"),
    ],
)
def test_the_endpoint(given, meant):
    assert endpoint({"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": given}) == meant


def test_abilities(provider):
    wanted = (CanStop, CanExtend, CanAllow, TellsQuotas, TellsGuards, TellsOutline, NamesPlaces, Warms)
    assert all(isinstance(provider, ability) for ability in wanted)


SAYS = """
import sys
from pathlib import Path
from gpucloud.providers.gcp import open_provider
from gpucloud.providers.site import Site
from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.offers import Offer
provider = open_provider(Site(Path("."), "home", {}))
offer = Offer("gcp", "g2-standard-4", "L4", 1, region="us-central1", zone="us-central1-a")
spec = LaunchSpec("", "train", 1, "", offer, 1, {}, "", deadline_epoch_s=1e9, idle_s=60)
provider.outline(spec), provider.guards(spec), provider.quota_needs(offer)
print([name for name in sys.modules if name.split(".")[0] in ("google", "requests", "grpc", "proto")])
"""


def test_telling_loads_no_library():
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.cloud", None)
    monkeypatch.setitem(sys.modules, "google.auth", None)
    error = error_of(lambda: identity(tmp_path, {"GOOGLE_CLOUD_PROJECT": "p"}))
    assert isinstance(error, errors.UsageError) and 'pip install "gpucloud[gcp]"' in error.hint
    provider = open_provider(Site(tmp_path, "home", {}))
    assert isinstance(error_of(provider.warm), errors.UsageError)
