"""What a request to Resource Manager may look like: by its published types, else by the SDK's models.

`GPUCLOUD_ARM_SPECS` names a folder with the resource types as bicep publishes them (`azure-compute-*.json`,
`azure-network-*.json`). Without it the property names of the SDK's own model classes are checked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

VARIABLE = "GPUCLOUD_ARM_SPECS"
AT_START = os.environ.get(VARIABLE, "")  # every test has the environment of nobody
REQUIRED, READ_ONLY, IN_THE_URL = 1, 2, 8
MODELS = {
    "microsoft.compute/virtualmachines": ("azure.mgmt.compute.models", "VirtualMachine"),
    "microsoft.network/virtualnetworks": ("azure.mgmt.network.models", "VirtualNetwork"),
    "microsoft.network/networksecuritygroups": ("azure.mgmt.network.models", "NetworkSecurityGroup"),
    "microsoft.network/networksecuritygroups/securityrules": ("azure.mgmt.network.models", "SecurityRule"),
    "microsoft.network/applicationsecuritygroups": ("azure.mgmt.network.models", "ApplicationSecurityGroup"),
    "microsoft.network/publicipaddresses": ("azure.mgmt.network.models", "PublicIPAddress"),
    "microsoft.network/networkinterfaces": ("azure.mgmt.network.models", "NetworkInterface"),
    "microsoft.resources/resourcegroups": ("azure.mgmt.resource.resources.models", "ResourceGroup"),
}


def specs_folder() -> Path | None:
    """Where the published types are, None where they are not at hand."""
    return Path(AT_START) if AT_START and Path(AT_START).is_dir() else None


def problems_of(kind: str, body: Mapping[str, Any]) -> list[str]:
    """What is wrong with a create request for that type (lower case); empty for types that nobody describes."""
    folder = specs_folder()
    if folder is not None:
        types, roots = _published(folder)
        if kind in roots:
            origin, number = roots[kind]
            return _check(types[origin], types[origin][number], body, "", root=True)
    return _by_model(*MODELS[kind], body, "") if kind in MODELS else []


@lru_cache
def _published(folder: Path) -> tuple[dict[str, list[Any]], dict[str, tuple[str, int]]]:
    types, roots = {}, {}
    for path in sorted(folder.glob("azure-*.json")):
        types[path.name] = json.loads(path.read_text())
        for entry in types[path.name]:
            if entry["$type"] == "ResourceType":
                name = entry["name"].partition("@")[0].lower()
                roots[name] = (path.name, _number(entry["body"]))
    return types, roots


def _number(reference: Mapping[str, str]) -> int:
    return int(reference["$ref"].rpartition("/")[2])


def _check(types: list[Any], kind: Any, value: Any, where: str, root: bool = False) -> list[str]:
    name = kind["$type"]
    if name == "ObjectType":
        return _check_object(types, kind, value, where, root)
    if name == "ArrayType":
        if not isinstance(value, list):
            return [f"{where}: not a list"]
        item = types[_number(kind["itemType"])]
        return [problem for i, one in enumerate(value) for problem in _check(types, item, one, f"{where}[{i}]")]
    if name == "UnionType":
        found = [_check(types, types[_number(element)], value, where) for element in kind["elements"]]
        return [] if any(not problems for problems in found) else [f"{where}: {value!r} is none of the values"]
    if name == "StringLiteralType":
        return [] if value == kind["value"] else [f"{where}: {value!r} is not {kind['value']!r}"]
    return _check_plain(kind, value, where)


def _check_plain(kind: Any, value: Any, where: str) -> list[str]:
    name = kind["$type"]
    wanted = {"StringType": str, "IntegerType": (int, float), "BooleanType": bool}.get(name)
    if wanted is None:
        return []
    if not isinstance(value, wanted) or (name == "IntegerType" and isinstance(value, bool)):
        return [f"{where}: {value!r} is no {name}"]
    low, high = kind.get("minValue"), kind.get("maxValue")
    if name == "IntegerType" and ((low is not None and value < low) or (high is not None and value > high)):
        return [f"{where}: {value} is not within {low} and {high}"]
    if name == "StringType":
        if len(value) < kind.get("minLength", 0) or len(value) > kind.get("maxLength", 1 << 30):
            return [f"{where}: {len(value)} letters"]
        if kind.get("pattern") and re.search(kind["pattern"], value) is None:
            return [f"{where}: {value!r} does not match {kind['pattern']}"]
    return []


def _check_object(types: list[Any], kind: Any, value: Any, where: str, root: bool) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: not an object"]
    problems = []
    known, more = kind.get("properties", {}), kind.get("additionalProperties")
    for key, one in value.items():
        spec = known.get(key)
        if spec is None and more is None:
            problems.append(f"{where}.{key} is not known")
        elif spec is not None and spec["flags"] & READ_ONLY:
            problems.append(f"{where}.{key} is read-only")
        else:
            reference = spec["type"] if spec is not None else more
            problems += _check(types, types[_number(reference)], one, f"{where}.{key}")
    for key, spec in known.items():
        in_url = root and (spec["flags"] & IN_THE_URL or key in ("id", "name", "type", "apiVersion"))
        if spec["flags"] & REQUIRED and key not in value and not in_url:
            problems.append(f"{where}.{key} is missing")
    return problems


# ---- without the published types


def _by_model(module: str, name: str, body: Mapping[str, Any], where: str) -> list[str]:
    fields = _fields(module, name)
    problems = []
    for key, value in body.items():
        if key not in fields:
            problems.append(f"{where}.{key} is not a property of {name}")
            continue
        inner = fields[key]
        for i, one in enumerate(value if isinstance(value, list) else [value]):
            if inner and isinstance(one, dict):
                problems += _by_model(
                    module, inner, one, f"{where}.{key}" + (f"[{i}]" if isinstance(value, list) else "")
                )
    return problems


@lru_cache
def _fields(module: str, name: str) -> dict[str, str]:
    """Property name on the wire → the model class of its value, empty for plain values and maps."""
    import importlib

    models = importlib.import_module(module)
    model = getattr(models, name)
    found = {}
    hints: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        hints.update({k: str(v) for k, v in getattr(parent, "__annotations__", {}).items()})
    for attribute, field in type(model())._attr_to_rest_field.items():  # filled in by the first instance
        match = re.search(r"_models\.(\w+)", hints.get(attribute, ""))
        inner = match[1] if match else ""
        usable = inner and hasattr(getattr(models, inner, None), "as_dict") and "dict[" not in hints[attribute].lower()
        found[field._rest_name] = inner if usable else ""
    return found
