"""Who we are at Azure, how much we may have, and that nothing heavy is loaded before that is asked."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.core.errors import CredentialsError, PermissionDenied, UsageError
from gpucloud.core.offers import Offer
from gpucloud.core.quotas import shortage
from gpucloud.providers.azure import families
from gpucloud.providers.azure.session import _subscription
from tests.clouds.azure.cloud import SUBSCRIPTION
from tests.clouds.azure.tokens import CLIENT
from tests.providers.azure.conftest import CPU, T4, error_of, open_driver

CATALOGS = Path(__file__).parents[3] / "catalogs"
OTHER = "aaaaaaaa-0000-0000-0000-00000000000f"


def test_by_secret(sim, provider):
    who = provider.identity()
    assert (who.account, who.principal, who.cloud) == (SUBSCRIPTION, CLIENT, "azure")
    assert "AZURE_CLIENT_SECRET" in who.via and who.endpoint == sim.url and len(who.owner) == 12
    assert sim.calls == ["GET subscription"]


def test_by_the_chain(sim, tmp_path, monkeypatch):
    """Without the whole secret in the environment it is DefaultAzureCredential's turn, which says what won."""
    for name, value in sim.environ.items():
        monkeypatch.setenv(name, value)
    driver = open_driver(sim, tmp_path, AZURE_CLIENT_SECRET="")
    who = driver.identity()
    assert who.via.startswith("AZURE_TENANT_ID") and who.principal == CLIENT


def test_nobody(sim, tmp_path):
    """tests/conftest.py leaves the chain one link, which finds nothing."""
    driver = open_driver(sim, tmp_path, AZURE_CLIENT_SECRET="", AZURE_CLIENT_ID="")
    error = error_of(driver.identity)
    assert isinstance(error, CredentialsError) and "az login" in error.hint
    assert error.message == "There are no credentials for Azure."


def test_an_expired_secret(sim, provider):
    sim.tokens.revoked = True
    error = error_of(provider.identity)
    assert isinstance(error, CredentialsError) and "AADSTS7000222" in error.message
    assert "not-a-real-secret" not in str(vars(error))


def test_the_wrong_subscription(sim, tmp_path):
    error = error_of(open_driver(sim, tmp_path, AZURE_SUBSCRIPTION_ID=OTHER).identity)
    assert isinstance(error, CredentialsError) and OTHER in error.message


def test_the_only_subscription_is_taken(sim, tmp_path):
    driver = open_driver(sim, tmp_path, AZURE_SUBSCRIPTION_ID="")
    assert driver.identity().account == SUBSCRIPTION
    sim.subscriptions.append(OTHER)
    error = error_of(open_driver(sim, tmp_path, AZURE_SUBSCRIPTION_ID="").identity)
    assert isinstance(error, CredentialsError) and "AZURE_SUBSCRIPTION_ID" in error.hint


def test_az_account_set(tmp_path):
    folder = tmp_path / "az"
    folder.mkdir()
    known = [{"id": OTHER, "isDefault": False}, {"id": SUBSCRIPTION.upper(), "isDefault": True}]
    (folder / "azureProfile.json").write_text("\ufeff" + json.dumps({"subscriptions": known}), encoding="utf-8")
    assert _subscription({"AZURE_CONFIG_DIR": str(folder)}) == (SUBSCRIPTION, "az account set")
    assert _subscription({"AZURE_CONFIG_DIR": str(tmp_path)}) == ("", "")


@pytest.mark.parametrize(
    "change", [{"AZURE_RESOURCE_MANAGER_ENDPOINT": "http://127.0.0.1:1"}, {"AZURE_SUBSCRIPTION_ID": "x"}]
)
def test_variables_that_cannot_be_meant(sim, tmp_path, change):
    assert isinstance(error_of(open_driver(sim, tmp_path, **change).identity), UsageError)


def test_a_pause_that_is_no_number(sim, tmp_path):
    assert isinstance(error_of(lambda: open_driver(sim, tmp_path, GPUCLOUD_WAIT_OPERATION="soon")), UsageError)


def test_an_authority_that_is_not_trusted(sim, tmp_path):
    error = error_of(open_driver(sim, tmp_path, REQUESTS_CA_BUNDLE="").identity)
    assert error.exit_code in (4, 6) and "certificate" in error.message.lower()


def test_nothing_is_loaded_for_plans(tmp_path):
    code = (
        "import sys; from pathlib import Path; from gpucloud.providers.azure import open_provider\n"
        "from gpucloud.providers.site import Site\n"
        "from gpucloud.core.cloud import LaunchSpec; from gpucloud.core.offers import Offer\n"
        "p = open_provider(Site(Path('.'), 'h', {}))\n"
        "s = LaunchSpec('', 'n', 1, '', Offer('azure', 'Standard_NC4as_T4_v3', 'T4', 1, 'eastus', vcpus=4), 1, {}, '',"
        " deadline_epoch_s=1.0)\n"
        "p.outline(s), p.guards(s), p.quota_needs(s.offer)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('azure', 'msal', 'requests', 'cryptography')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_library(sim, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    for job in (open_driver(sim, tmp_path).identity, open_driver(sim, tmp_path).warm):
        error = error_of(job)
        assert isinstance(error, UsageError) and 'pip install "gpucloud[azure]"' in error.hint


# ---- quotas


def test_quotas_of_a_region(sim, provider):
    sim.cloud.limits = {"Standard NCASv3_T4 Family": 8, "standardNCADSA100v4Family": 0, "lowPriorityCores": 3}
    found = {quota.name: quota for quota in provider.quotas(("eastus",))}
    assert found["Standard NCASv3_T4 Family"].limit == 8
    assert not shortage(T4, 2, provider.quota_needs(T4), list(found.values()))
    assert "this takes 12" in shortage(T4, 3, provider.quota_needs(T4), list(found.values()))
    spot = replace(T4, market="spot")
    assert "lowPriorityCores" in shortage(spot, 1, provider.quota_needs(spot), list(found.values()))
    a100 = replace(T4, instance_type="Standard_NC24ads_A100_v4", vcpus=24)
    assert "A100" in shortage(a100, 1, provider.quota_needs(a100), list(found.values()))


def test_quotas_everywhere_leave_out_what_is_not_allowed(sim, provider):
    sim.cloud.limits = {"Standard NCASv3_T4 Family": 8, "standardNCADSA100v4Family": 0}
    assert {(quota.region, quota.name) for quota in provider.quotas() if "Family" in quota.name} == {
        (region, "Standard NCASv3_T4 Family") for region in ("eastus", "westus2", "westeurope", "japaneast")
    }


def test_who_may_not_see_quotas(sim, provider):
    sim.granted = set()
    assert isinstance(error_of(lambda: provider.quotas(("eastus",))), PermissionDenied)


def test_every_size_of_the_catalog_has_one_family():
    with (CATALOGS / "instance_types.csv").open(newline="") as file:
        sizes = [row["instance_type"] for row in csv.DictReader(file) if row["cloud"] == "azure"]
    assert len(sizes) > 40
    assert [size for size in sizes if not families.family_of(size)] == []
    assert len(families.KNOWN) == len(families.FAMILIES)  # no two are the same when folded


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ("StandardNCASv3_T4Family", "Standard NCASv3_T4 Family"),
        ("standardNCADSA100v4Family", "StandardNCADSA100v4Family"),
        ("cores", "cores"),
        ("standardDSv5Family", ""),
    ],
)
def test_names_are_compared_without_their_spelling(told, known):
    assert families.canonical(told) == known


def test_needs_without_a_gpu_or_without_numbers():
    assert families.quota_needs(CPU) == {"cores": 2.0}
    assert families.quota_needs(Offer("azure", "Standard_NC4as_T4_v3", "T4", 1)) == {}
