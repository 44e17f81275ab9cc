"""Compute Engine v1 by its discovery document: what a request means, and whether it and its answer are legal."""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "/compute/v1/"
RESOURCES = (
    "instances disks firewalls networks subnetworks images zones regions projects machineTypes"
    " zoneOperations globalOperations"
)


@dataclass(frozen=True)
class Method:
    """One method of the API. `spec` is its entry in the document."""

    name: str  # `instances.insert`
    verb: str
    pattern: re.Pattern[str]
    spec: Mapping[str, Any]


@functools.cache
def document() -> dict[str, Any]:
    """The document as google-api-python-client ships it."""
    import googleapiclient

    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    found: dict[str, Any] = json.loads((folder / "compute.v1.json").read_text())
    return found


@functools.cache
def methods() -> tuple[Method, ...]:
    """Every method of the resources that are simulated."""
    found = []
    for resource in RESOURCES.split():
        for word, spec in document()["resources"][resource]["methods"].items():
            path = re.sub(r"\\\{(\w+)\\\}", lambda m: f"(?P<{m[1]}>[^/]+)", re.escape(spec["path"]))
            found.append(Method(f"{resource}.{word}", spec["httpMethod"], re.compile(path), spec))
    return tuple(found)


def method_of(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The method and the words of its path."""
    if not path.startswith(BASE):
        return None
    for method in methods():
        match = method.pattern.fullmatch(path[len(BASE) :])
        if match and method.verb == verb:
            return method, match.groupdict()
    return None


def request_problems(method: Method, words: Mapping[str, str], query: Mapping[str, list[str]], body: Any) -> list[str]:
    """What is wrong with a request."""
    known = {**document()["parameters"], **method.spec.get("parameters", {})}
    found = [f"{name} is no parameter of {method.name}" for name in query if name not in known]
    given = {**{name: [value] for name, value in words.items()}, **query}
    found += [p for name, values in given.items() if name in known for v in values for p in _word(name, v, known[name])]
    missing = [name for name, spec in known.items() if spec.get("required") and name not in given]
    found += [f"{name} is missing" for name in missing]
    wanted = method.spec.get("request")
    if wanted is None:
        return found + (["a body where none is taken"] if body else [])
    return found + list(check(wanted, body if body is not None else {}, ""))


def answer_problems(method: Method, body: Any) -> list[str]:
    """What is wrong with an answer."""
    return list(check(method.spec["response"], body, ""))


def _word(name: str, value: str, spec: Mapping[str, Any]) -> Iterator[str]:
    """A word of the path or query."""
    kind = spec.get("type")
    if kind == "integer" and not re.fullmatch(r"-?[0-9]+", value):
        yield f"{name}={value} is no number"
    if kind == "boolean" and value not in ("true", "false"):
        yield f"{name}={value} is no boolean"
    if "enum" in spec and value not in spec["enum"]:
        yield f"{name}={value} is none of its values"
    if "pattern" in spec and not re.fullmatch(spec["pattern"], value):
        yield f"{name}={value} does not match {spec['pattern']}"
    if name == "requestId" and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", value):
        yield f"requestId {value} is no UUID"


def check(spec: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    """Every difference between a JSON value and its schema, unknown properties among them."""
    if "$ref" in spec:
        yield from check(document()["schemas"][spec["$ref"]], value, where)
        return
    kind = spec.get("type", "any")
    if kind == "object":
        yield from _object(spec, value, where)
    elif kind == "array":
        if not isinstance(value, list):
            yield f"{where} is no list"
            return
        for number, item in enumerate(value):
            yield from check(spec["items"], item, f"{where}[{number}]")
    elif kind != "any":
        yield from _plain(kind, spec, value, where)


def _object(spec: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{where} is no object"
        return
    properties = spec.get("properties", {})
    for name, item in value.items():
        inner = properties.get(name, spec.get("additionalProperties"))
        if inner is None:
            yield f"{where}.{name} is unknown"
        else:
            yield from check(inner, item, f"{where}.{name}")


def _plain(kind: str, spec: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    right = {
        "string": isinstance(value, str),
        "boolean": isinstance(value, bool),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, (int, float)) and not isinstance(value, bool),
    }
    if not right[kind]:
        yield f"{where} is no {kind}: {value!r}"
        return
    if "enum" in spec and value not in spec["enum"]:
        yield f"{where}={value} is none of its values"
    if "pattern" in spec and not re.fullmatch(spec["pattern"], str(value)):
        yield f"{where}={value!r} does not match {spec['pattern']}"
    if spec.get("format") in ("int64", "uint64") and not re.fullmatch(r"-?[0-9]+", str(value)):
        yield f"{where}={value!r} is no whole number"
    if spec.get("format") == "byte":
        try:
            base64.b64decode(value, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            yield f"{where} is not base64"
