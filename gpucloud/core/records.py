"""Offers, resources and guards as JSON values and back, for events and for answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any, TypeVar

from gpucloud.core.cloud import Endpoint, Guard, Resource
from gpucloud.core.offers import Offer

T = TypeVar("T")


def _known(kind: type[T], record: Mapping[str, Any]) -> dict[str, Any]:
    names = {spec.name for spec in fields(kind)}  # type: ignore[arg-type]
    return {key: value for key, value in record.items() if key in names}


def _filled(value: Any) -> dict[str, Any]:
    """The fields that differ from their defaults, which is what reading it back fills in."""
    defaults = {spec.name: spec.default for spec in fields(value)}
    return {key: item for key, item in asdict(value).items() if item != defaults[key] and item != {}}


def offer_record(offer: Offer) -> dict[str, Any]:
    """An offer as JSON."""
    return {**_filled(offer), "flags": list(offer.flags)}


def offer_from(record: Mapping[str, Any]) -> Offer:
    """An offer from JSON; unknown fields of a newer version are left out."""
    return Offer(**{**_known(Offer, record), "flags": tuple(record.get("flags", ()))})


def resource_record(resource: Resource) -> dict[str, Any]:
    """A resource as JSON. It holds no secret: an endpoint names a key file, never a key."""
    return _filled(resource)


def resource_from(record: Mapping[str, Any]) -> Resource:
    """A resource from JSON."""
    known = _known(Resource, record)
    if known.get("endpoint"):
        known["endpoint"] = endpoint_from(known["endpoint"])
    return Resource(**known)


def endpoint_from(record: Mapping[str, Any]) -> Endpoint:
    """An endpoint from JSON, its jump hosts included."""
    known = _known(Endpoint, record)
    known["proxy_jump"] = tuple(endpoint_from(hop) for hop in record.get("proxy_jump", ()))
    return Endpoint(**known)


def guard_record(guard: Guard) -> dict[str, Any]:
    """A guard as JSON."""
    return {**asdict(guard), "survives": list(guard.survives)}


def guard_from(record: Mapping[str, Any]) -> Guard:
    """A guard from JSON."""
    return Guard(**{**_known(Guard, record), "survives": tuple(record.get("survives", ()))})
