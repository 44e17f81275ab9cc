"""Entra ID in small: where a client finds the token endpoint, and tokens for one application's secret."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Mapping

from tests.clouds.http import Answer, Request

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT, SECRET = "22222222-2222-2222-2222-222222222222", "not-a-real-secret"
PRINCIPAL = "33333333-3333-3333-3333-333333333333"
DISCOVERY = "/v2.0/.well-known/openid-configuration"


class Tokens:
    """Gives tokens and knows a good one. `revoked`: the secret has expired; `expired`: so have the tokens."""

    def __init__(self) -> None:
        self.given: set[str] = set()
        self.revoked = self.expired = False
        self.asked = 0

    def serves(self, request: Request) -> bool:
        """Whether the request is for this service and not for Resource Manager."""
        return request.path.startswith((f"/{TENANT}/", "/metadata/identity/"))

    def answer(self, request: Request, url: str) -> Answer:
        """Discovery, or a token."""
        if request.path.endswith(DISCOVERY):
            base = f"{url}/{TENANT}"
            return Answer(
                200,
                {
                    "issuer": f"{base}/v2.0",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                },
            )
        if request.path.startswith("/metadata/identity/"):
            return self._machine(request)
        self.asked += 1
        form = {key: values[0] for key, values in request.form.items()}
        if self.revoked or form.get("client_secret") != SECRET or form.get("client_id") != CLIENT:
            words = "AADSTS7000222: The provided client secret keys for app are expired."
            return Answer(401, {"error": "invalid_client", "error_description": words, "error_codes": [7000222]})
        return Answer(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": self.new()})

    def _machine(self, request: Request) -> Answer:
        """The metadata service of a machine that carries an identity."""
        if request.headers.get("metadata") != "true":
            return Answer(400, {"error": "invalid_request"})
        return Answer(200, {"access_token": self.new(), "expires_in": "3599", "token_type": "Bearer"})

    def new(self) -> str:
        """A token whose claims say who it is for."""
        claims = {"oid": PRINCIPAL, "appid": CLIENT, "tid": TENANT, "exp": int(time.time()) + 3599}
        parts = [{"alg": "none", "typ": "JWT"}, claims]
        token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        token = f"{token}.{secrets.token_hex(4)}"
        self.given.add(token)
        return token

    def good(self, headers: Mapping[str, str]) -> bool:
        """Whether a call shows a token of ours."""
        return not self.expired and headers.get("authorization", "").removeprefix("Bearer ") in self.given
