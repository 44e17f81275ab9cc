"""Who we are at AWS, and through which link of boto3's credential chain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpucloud.core.cloud import Identity
from gpucloud.core.errors import CredentialsError
from gpucloud.core.names import owner_hash
from gpucloud.providers.aws.session import Clients

SIGNS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CREDENTIAL_FILE",
    "BOTO_CONFIG",
)
FILES = (("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"), ("AWS_CONFIG_FILE", "~/.aws/config"))
OTHER_FILES = ("/etc/boto.cfg", "~/.boto")
VENDOR = Path("/sys/devices/virtual/dmi/id/sys_vendor")
VIA = {
    "env": "environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "shared credentials file",
    "config-file": "config file",
    "assume-role": "assumed role of the profile",
    "assume-role-with-web-identity": "web identity token",
    "sso": "IAM Identity Center (sso)",
    "login": "aws login",
    "custom-process": "credential_process",
    "container-role": "container role",
    "iam-role": "instance profile of this machine",
}
NONE = "Give AWS credentials: `aws configure`, `aws sso login`, AWS_PROFILE or AWS_ACCESS_KEY_ID."


def identity(clients: Clients, environ: Mapping[str, str]) -> Identity:
    """The caller of STS. Raises CredentialsError, without loading boto3 where no trace of credentials is found."""
    if not has_traces(environ):
        raise CredentialsError("There are no AWS credentials here.", NONE)
    found = clients.credentials()
    if found is None:
        raise CredentialsError("There are no AWS credentials here.", NONE)
    answer = clients.call("sts", clients.home_region, "GetCallerIdentity")
    account, principal = str(answer["Account"]), str(answer["Arn"])
    return Identity(
        cloud="aws",
        account=account,
        principal=principal,
        via=_via(found.method, environ),
        endpoint=clients.endpoint,
        owner=owner_hash(f"aws:{account}:{lasting(principal)}"),
    )


def has_traces(environ: Mapping[str, str]) -> bool:
    """Whether any link of the chain could have something, told without boto3 and without the network."""
    if any(environ.get(name) for name in SIGNS):
        return True
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    paths = [environ.get(variable) or usual for variable, usual in FILES]
    if any(_exists(path, home) for path in (*paths, *OTHER_FILES)):
        return True
    return environ.get("AWS_EC2_METADATA_DISABLED", "").lower() != "true" and _on_ec2()


def _exists(path: str, home: Path) -> bool:
    return (home / path[2:] if path.startswith("~/") else Path(path)).exists()


def _on_ec2() -> bool:
    try:
        return "amazon" in VENDOR.read_text(encoding="utf-8", errors="replace").casefold()
    except OSError:
        return False


def lasting(principal: str) -> str:
    """The part of an ARN that does not change from session to session."""
    head, mark, rest = principal.partition(":assumed-role/")
    return f"{head}{mark}{rest.split('/')[0]}" if mark else principal


def _via(method: str, environ: Mapping[str, str]) -> str:
    words = VIA.get(method, method)
    profile = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    return words if method in ("env", "container-role", "iam-role") else f"{words}, profile {profile}"
