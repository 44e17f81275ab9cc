"""Google's credentials in small: a service account with a key, an authorised user, and what their tokens are worth."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.clouds.http import Answer, Request

SERVICE_ACCOUNT = "builder@{project}.iam.gserviceaccount.com"
_KEYS: list[rsa.RSAPrivateKey] = []


def _key() -> rsa.RSAPrivateKey:
    """One key for all simulators of a process: making one takes a tenth of a second."""
    if not _KEYS:
        _KEYS.append(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    return _KEYS[0]


class Tokens:
    """Gives tokens at `/token`, and knows a good one. Expired, once `revoked`."""

    def __init__(self, project: str) -> None:
        self.project, self.email = project, SERVICE_ACCOUNT.format(project=project)
        self.given: set[str] = set()
        self.refresh_token = secrets.token_hex(8)
        self.revoked = False
        self.asked = 0

    def service_account_file(self, path: Path, url: str) -> Path:
        """A key file as the console gives it."""
        pem = _key().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        record = {
            "type": "service_account",
            "project_id": self.project,
            "private_key_id": "k1",
            "private_key": pem.decode(),
            "client_email": self.email,
            "client_id": "1",
            "token_uri": f"{url}/token",
        }
        path.write_text(json.dumps(record))
        return path

    def user_file(self, path: Path, url: str) -> Path:
        """What `gcloud auth application-default login` leaves, asking this simulator for tokens."""
        record = {
            "type": "authorized_user",
            "client_id": "c",
            "client_secret": "s",
            "refresh_token": self.refresh_token,
            "token_uri": f"{url}/token",
        }
        path.write_text(json.dumps(record))
        return path

    def answer(self, request: Request) -> Answer:
        """The token endpoint."""
        self.asked += 1
        form = {key: values[0] for key, values in request.form.items()}
        by_key = form.get("grant_type", "").endswith("jwt-bearer") and self._signed(form.get("assertion", ""))
        by_user = form.get("grant_type") == "refresh_token" and form.get("refresh_token") == self.refresh_token
        if self.revoked or not (by_key or by_user):
            words = {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
            return Answer(400, words)
        token = secrets.token_hex(16)
        self.given.add(token)
        return Answer(200, {"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

    def good(self, headers: Mapping[str, str]) -> bool:
        """Whether a call shows a token of ours, or one that the service account has signed itself."""
        token = headers.get("authorization", "").removeprefix("Bearer ")
        return not self.revoked and (token in self.given or self._signed(token))

    def _signed(self, token: str) -> bool:
        try:
            head, claims, signature = token.split(".")
            words: Any = json.loads(_decoded(claims))
            public = _key().public_key()
            public.verify(_decoded(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature):
            return False
        return bool(words.get("iss") == self.email)


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
