"""What goes over the wire: whose call it is, EC2's XML, JSON answers, errors in the form of each service, and moto."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from xml.sax.saxutils import escape

os.environ.setdefault("MOTO_AMIS_PATH", str(Path(__file__).with_name("amis.json")))  # read when moto is imported

import botocore.loaders
import botocore.session
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder, run_wsgi_app

from tests.clouds.http import Answer, Request

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15"
_SCOPE = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")
_LOST = ("content-length", "date", "server", "connection", "transfer-encoding")
# A driver is opened anew for every case: botocore reads its service models once for all sessions, not for each.
_loader = botocore.loaders.create_loader()
botocore.session.create_loader = lambda path=None: _loader
_moto = DomainDispatcherApplication(create_backend_app)


@dataclass(frozen=True)
class Call:
    """One signed API call: who, where, which service and operation, and its form or JSON words."""

    request: Request
    key: str
    region: str
    service: str
    operation: str
    words: Mapping[str, Any]

    def filters(self) -> dict[str, list[str]]:
        """EC2's numbered filters as a mapping."""
        found: dict[str, list[str]] = {}
        for number in range(1, 20):
            name = self.words.get(f"Filter.{number}.Name")
            if name:
                found[name] = numbered(self.words, f"Filter.{number}.Value")
        return found

    def changed(self, **words: str) -> Call:
        """The same call with other words."""
        return replace(self, words={**self.words, **words})

    def without(self, *names: str) -> Call:
        """The same call without the words that start so."""
        return replace(self, words={key: value for key, value in self.words.items() if not key.startswith(names)})


def call_of(request: Request) -> Call | None:
    """The call in a request, None when it is not a signed one."""
    scope = _SCOPE.search(request.headers.get("authorization", ""))
    if scope is None:
        return None
    key, region, service = scope.groups()
    target = request.headers.get("x-amz-target", "")
    if target:
        return Call(request, key, region, service, target.rpartition(".")[2], json.loads(request.body or b"{}"))
    form = dict(parse_qsl(request.body.decode(), keep_blank_values=True))
    return Call(request, key, region, service, form.get("Action", ""), form)


def numbered(words: Mapping[str, Any], name: str) -> list[str]:
    """`Name.1`, `Name.2`, … as a list."""
    found = []
    while f"{name}.{len(found) + 1}" in words:
        found.append(str(words[f"{name}.{len(found) + 1}"]))
    return found


def tags_in(words: Mapping[str, Any], kind: str) -> dict[str, str]:
    """The tags that a create request gives to a kind of thing."""
    for number in range(1, 10):
        if words.get(f"TagSpecification.{number}.ResourceType") == kind:
            prefix = f"TagSpecification.{number}.Tag."
            keys = [key for key in words if key.startswith(prefix) and key.endswith(".Key")]
            return {words[key]: words.get(key[:-3] + "Value", "") for key in keys}
    return {}


def to_moto(call: Call) -> Answer:
    """moto's answer to a call, with its effect."""
    body = call.request.body if call.request.headers.get("x-amz-target") else urlencode(call.words).encode()
    headers = {key: value for key, value in call.request.headers.items() if key != "content-length"}
    builder = EnvironBuilder(path="/", method="POST", data=body, headers=headers, base_url="http://127.0.0.1")
    parts, status, answered = run_wsgi_app(_moto, builder.get_environ())
    kept = {key: value for key, value in answered if key.lower() not in _LOST}
    return Answer(int(status.split()[0]), b"".join(parts), kept)


def xml(operation: str, inside: str) -> Answer:
    """An answer of EC2."""
    body = f'<{operation}Response xmlns="{NAMESPACE}"><requestId>sim-1</requestId>{inside}</{operation}Response>'
    return Answer(200, body.encode(), {"Content-Type": "text/xml"})


def answer_json(value: Any) -> Answer:
    """An answer of a JSON service."""
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "sim-1"}
    return Answer(200, json.dumps(value).encode(), headers)


def refusal(call: Call, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An error in the form of the call's service."""
    if call.service == "ec2":
        inside = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        body = f"<Response><Errors><Error>{inside}</Error></Errors><RequestID>sim-1</RequestID></Response>"
        return Answer(status, body.encode(), {"Content-Type": "text/xml", **(headers or {})})
    if call.service == "sts":
        inside = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
        body = f"<ErrorResponse><Error>{inside}</Error><RequestId>sim-1</RequestId></ErrorResponse>"
        return Answer(status, body.encode(), {"Content-Type": "text/xml", **(headers or {})})
    plain = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": "sim-1", **(headers or {})}
    return Answer(status, json.dumps({"__type": code, "message": message}).encode(), plain)
