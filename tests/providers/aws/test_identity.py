"""Who we are, through which link of the chain, what is allowed, and sentences for what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpucloud.core import errors
from gpucloud.providers.aws.identity import lasting
from gpucloud.providers.aws.provider import AwsProvider
from gpucloud.providers.aws.quotas import family_of
from gpucloud.providers.site import Site
from tests.clouds.aws.sim import OTHER_ACCOUNT, AwsSim
from tests.clouds.tls import certificates
from tests.providers.aws.conftest import HOME, make_offer, make_spec

ASK = (
    "import sys; from pathlib import Path; import os; from gpucloud.providers.site import Site\n"
    "from gpucloud.providers.aws import open_provider; from gpucloud.core.errors import GpucloudError\n"
    "driver = open_provider(Site(Path('.'), 'home', dict(os.environ)))\n"
    "try:\n who = driver.identity(); print(who.account, who.via, sep='|')\n"
    "except GpucloudError as error: print(error.code, error.message, error.hint, sep='|')\n"
    "print('botocore' in sys.modules)\n"
)


def ask(tmp_path: Path, **environ: str) -> list[str]:
    """What a fresh process with only these variables says."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HTTP", "http"))}
    own = {"HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1"}
    words = [sys.executable, "-W", "error", "-c", ASK]
    done = subprocess.run(words, env={**clean, **own, **environ}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()


def test_the_account_the_principal_and_a_lasting_owner(driver, open_driver):
    who = driver.identity()
    assert (who.account, who.principal) == ("123456789012", "arn:aws:iam::123456789012:user/tester")
    assert who.via == "environment (AWS_ACCESS_KEY_ID)" and who.endpoint.startswith("http://127.0.0.1")
    other = open_driver(AWS_ACCESS_KEY_ID="AKIAOTHER").identity()
    assert other.account == OTHER_ACCOUNT and other.owner != who.owner


def test_a_session_name_does_not_change_the_owner():
    role = "arn:aws:sts::1:assumed-role/Trainer/{}"
    assert lasting(role.format("monday")) == lasting(role.format("tuesday")) == "arn:aws:sts::1:assumed-role/Trainer"
    assert lasting("arn:aws:iam::1:user/me") == "arn:aws:iam::1:user/me"


def test_no_trace_of_credentials_is_told_without_the_library(tmp_path):
    said, loaded = ask(tmp_path)
    assert said.startswith("credentials|") and "aws configure" in said and loaded == "False"


def test_a_profile_of_the_credentials_file_wins_and_is_named(sim, tmp_path):
    folder = tmp_path / ".aws"
    folder.mkdir()
    (folder / "credentials").write_text("[lab]\naws_access_key_id=AKIAMINE\naws_secret_access_key=secret\n")
    said, _ = ask(tmp_path, AWS_PROFILE="lab", AWS_ENDPOINT_URL=sim.url)
    assert said == "123456789012|shared credentials file, profile lab"
    said, _ = ask(tmp_path, AWS_PROFILE="nobody", AWS_ENDPOINT_URL=sim.url)
    assert said.startswith("credentials|") and "nobody" in said


def test_keys_that_aws_does_not_know_or_that_have_expired(sim, open_driver):
    with pytest.raises(errors.CredentialsError) as caught:
        open_driver(AWS_ACCESS_KEY_ID="AKIANOBODY").identity()
    assert caught.value.exit_code == 4
    sim.expired = True
    with pytest.raises(errors.CredentialsError) as caught:
        open_driver().identity()
    assert "expired" in caught.value.message and "sso login" in caught.value.hint


def test_a_private_authority_is_trusted_when_named_and_explained_when_not(tmp_path):
    made = certificates(tmp_path / "tls")
    sim = AwsSim(tls=made.pair)
    with sim:
        keys = {"AWS_ACCESS_KEY_ID": "AKIAMINE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": sim.url}
        said, _ = ask(tmp_path, **keys)
        assert said.startswith("ambiguous|") and "AWS_CA_BUNDLE" in said
        said, _ = ask(tmp_path, AWS_CA_BUNDLE=str(made.authority), **keys)
        assert said.startswith("123456789012|")


def test_a_proxy_that_does_not_answer_is_named(tmp_path):
    keys = {"AWS_ACCESS_KEY_ID": "AKIAMINE", "AWS_SECRET_ACCESS_KEY": "secret"}
    said, _ = ask(tmp_path, HTTPS_PROXY="http://127.0.0.1:9", **keys)
    assert said.startswith("ambiguous|") and "HTTPS_PROXY" in said


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch, sim):
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(errors.UsageError) as caught:
        AwsProvider(Site(tmp_path, HOME, sim.environ)).identity()
    assert 'pip install "gpucloud[aws]"' in caught.value.hint


# ---- quotas


@pytest.mark.parametrize(
    ("instance_type", "market", "family"),
    [
        ("p4d.24xlarge", "on-demand", "P"),
        ("p5.48xlarge", "on-demand", "P"),
        ("p5en.48xlarge", "spot", "P5"),
        ("p3dn.24xlarge", "spot", "P"),
        ("p6-b200.48xlarge", "on-demand", "P"),
        ("p6-b200.48xlarge", "spot", ""),
        ("g5.xlarge", "spot", "G and VT"),
        ("gr6.4xlarge", "on-demand", "G and VT"),
        ("trn1.2xlarge", "on-demand", "Trn"),
        ("inf2.xlarge", "spot", "Inf"),
        ("dl2q.24xlarge", "on-demand", "DL"),
        ("c7i.large", "on-demand", "Standard"),
        ("m7g.large", "spot", "Standard"),
        ("u-6tb1.metal", "on-demand", ""),
        ("mac2.metal", "on-demand", ""),
    ],
)
def test_types_count_against_the_quota_of_their_family(instance_type, market, family):
    assert family_of(instance_type, market) == family


def test_quotas_are_vcpus_with_what_runs_now(sim, driver, spec):
    driver.launch(spec)
    found = {(quota.region, quota.name): quota for quota in driver.quotas(("us-east-1",))}
    assert found["us-east-1", "P vCPUs, spot"].limit == 0
    card = found["us-east-1", "G and VT vCPUs, on-demand"]
    assert card.limit == 64 and card.used > 0
    assert driver.quota_needs(make_offer(vcpus=4)) == {card.name: 4}
    assert driver.quota_needs(make_offer(vcpus=None)) == {}


def test_check_asks_every_region_for_gpu_families_only(driver):
    found = driver.quotas()
    assert {quota.region for quota in found} == {"us-east-1", "us-west-2"}
    assert {quota.name.split(" vCPUs")[0] for quota in found} == {"P", "G and VT"}


def test_quotas_that_may_not_be_asked_are_a_refusal(sim, driver):
    driver.identity()
    sim.granted = {"ec2:DescribeRegions"}
    with pytest.raises(errors.PermissionDenied):
        driver.quotas()


# ---- guards and outline


def test_guards_say_what_they_survive(sim, driver):
    found = {guard.kind: guard for guard in driver.guards(make_spec(sim.clock()))}
    assert set(found) == {"in_machine_deadline", "in_machine_idle", "client"}
    assert found["in_machine_deadline"].action == "stop" and "machine hung" not in found["in_machine_deadline"].survives
    spec = make_spec(sim.clock(), options={"alarm": "yes"})
    alarm = next(guard for guard in driver.guards(spec) if guard.kind == "provider")
    assert alarm.ends_epoch_s == spec.deadline_epoch_s + 24 * 3600 and "machine hung" in alarm.survives


def test_an_alarm_reaches_seven_days_and_no_further(sim, driver):
    late = sim.clock() + 7 * 24 * 3600
    spec = make_spec(sim.clock(), deadline_epoch_s=late, options={"alarm": "yes"})
    for refused in (lambda: driver.guards(spec), lambda: driver.launch(spec)):
        with pytest.raises(errors.PolicyError) as caught:
            refused()
        assert "--no-guard" in caught.value.hint
    assert sim.left() == []
    without = make_spec(sim.clock(), deadline_epoch_s=late, options={"alarm": "yes", "no-guard": "yes"})
    assert "provider" not in {guard.kind for guard in driver.guards(without)}
    driver.launch(without)
    assert sim.alarms() == []


def test_the_outline_names_everything_that_is_made(sim, driver):
    told = driver.outline(make_spec(sim.clock(), nodes=2, options={"alarm": "yes"}))
    assert [kind for kind, _ in told.resources].count("machine") == 2
    assert {kind for kind, _ in told.resources} == {"machine", "volume", "security-group", "alarm"}
    assert "base-oss-nvidia-driver" in told.image and told.ssh_user == "ubuntu"
    mine = driver.outline(make_spec(sim.clock(), options={"security-group": "sg-1", "identity": "trainer"}))
    assert "security-group" not in {kind for kind, _ in mine.resources}
    assert any("sg-1" in note for note in mine.notes) and any("trainer" in note for note in mine.notes)
