"""Who we are at Azure: credentials by the library's own chain, the subscription, and where Resource Manager is."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gpucloud.core.errors import UsageError

HOST = "https://management.azure.com"
ENDPOINT = "AZURE_RESOURCE_MANAGER_ENDPOINT"  # sovereign clouds, Azure Stack, tests
AUTHORITY = "AZURE_AUTHORITY_HOST"
SUBSCRIPTION = "AZURE_SUBSCRIPTION_ID"
SECRET = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
PUBLIC_AUTHORITIES = ("login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn")
LINKS = {
    "EnvironmentCredential": "AZURE_TENANT_ID, AZURE_CLIENT_ID, …",
    "WorkloadIdentityCredential": "workload identity (AZURE_FEDERATED_TOKEN_FILE)",
    "ManagedIdentityCredential": "the managed identity of this machine",
    "SharedTokenCacheCredential": "the shared token cache",
    "VisualStudioCodeCredential": "Visual Studio Code",
    "AzureCliCredential": "az login",
    "AzurePowerShellCredential": "Connect-AzAccount",
    "AzureDeveloperCliCredential": "azd auth login",
    "BrokerCredential": "the broker of this computer",
}


@dataclass(frozen=True)
class Session:
    """Credentials (never shown) and where they are used; `subscription` may be empty: then it is looked up."""

    credential: Any = field(repr=False)
    endpoint: str
    authority_bundle: str | bool  # the file of authorities to trust, or True for the usual ones
    subscription: str
    chosen_by: str = ""  # what named the subscription


def open_session(environ: Mapping[str, str]) -> Session:
    """The links of the chain; nothing is asked yet. Raises ImportError without the library."""
    bundle: str | bool = environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or True
    subscription, by = _subscription(environ)
    return Session(_credential(environ, bundle), endpoint(environ), bundle, subscription, by)


def endpoint(environ: Mapping[str, str]) -> str:
    """Where Resource Manager is, without a slash at the end. Raises UsageError for a plain-text one."""
    text = (environ.get(ENDPOINT) or HOST).rstrip("/")
    if not text.startswith("https://"):
        raise UsageError(f"{ENDPOINT}={text} is not an https address.", "Tokens are sent to https only.")
    return text


def _credential(environ: Mapping[str, str], bundle: str | bool) -> Any:
    import azure.identity

    words: dict[str, Any] = {
        "connection_verify": bundle,
        "retry_total": 2,
        "connection_timeout": 10,
        "read_timeout": 20,
    }
    host = environ.get(AUTHORITY, "")
    if host:
        words["authority"] = host
        name = urlsplit(host if "://" in host else f"https://{host}").hostname or ""
        words["disable_instance_discovery"] = name not in PUBLIC_AUTHORITIES
    if all(environ.get(name) for name in SECRET):
        return azure.identity.ClientSecretCredential(*(environ[name] for name in SECRET), **words)
    return azure.identity.DefaultAzureCredential(**words)


def link(credential: Any) -> str:
    """Which link of the chain gave the token."""
    if type(credential).__name__ == "ClientSecretCredential":
        return ", ".join(SECRET)
    winner = getattr(credential, "_successful_credential", None)
    name = type(winner if winner is not None else credential).__name__
    return LINKS.get(name, name)


def scope_of(endpoint: str) -> str:
    """What a token for that endpoint is asked for."""
    return f"{endpoint}/.default"


def principal_of(token: str) -> tuple[str, str]:
    """The caller in a token as (name to show, id that stays the same); empty where it cannot be read."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return "", ""
    shown = claims.get("upn") or claims.get("unique_name") or claims.get("preferred_username") or claims.get("appid")
    identity = claims.get("oid") or claims.get("sub") or shown or ""
    return str(shown or identity), str(identity)


def _subscription(environ: Mapping[str, str]) -> tuple[str, str]:
    """By AZURE_SUBSCRIPTION_ID, else what `az account set` chose; else empty."""
    text = environ.get(SUBSCRIPTION, "")
    if text:
        if not re.fullmatch(r"[0-9a-fA-F-]{36}", text):
            raise UsageError(f"{SUBSCRIPTION}={text} is not the id of a subscription.", "See `az account list`.")
        return text.lower(), SUBSCRIPTION
    home = environ.get("HOME", "")
    folder = environ.get("AZURE_CONFIG_DIR") or (str(Path(home) / ".azure") if home else "")
    if not folder:
        return "", ""
    try:
        known = json.loads((Path(folder) / "azureProfile.json").read_text(encoding="utf-8-sig"))["subscriptions"]
    except (OSError, ValueError, KeyError, TypeError):
        return "", ""
    chosen = next((str(item["id"]) for item in known if item.get("isDefault")), "")
    return chosen.lower(), "az account set" if chosen else ""
