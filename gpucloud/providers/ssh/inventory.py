"""`hosts.yaml`: the machines you own, checked word by word; what is wrong is named with its line and host."""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import UsageError, nearest
from gpucloud.core.offers import Accelerator

EXAMPLE = """\
hosts:
  - name: box1
    address: 192.0.2.10
    user: alice
    gpus: [{model: RTX3090, count: 2}]"""
HOST_KEYS = (
    "name",
    "address",
    "port",
    "user",
    "identity_file",
    "fingerprint",
    "proxy_jump",
    "gpus",
    "usd_per_hour",
    "lease_dir",
)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
JUMP = re.compile(r"(?:([A-Za-z0-9._-]+)@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]+))?")
LEASE_DIR = "/var/tmp/gpucloud-leases"  # survives a reboot, as a lease does; every account may write there
Cards = Callable[[str], Accelerator]


@dataclass(frozen=True)
class Gpus:
    """Some equal GPUs of a host: the card and how many."""

    card: Accelerator
    count: int


@dataclass(frozen=True)
class Host:
    """One machine of the inventory. `usd_per_hour` is what an hour of the whole machine is worth to you."""

    name: str
    endpoint: Endpoint
    gpus: tuple[Gpus, ...] = ()
    usd_per_hour: float = 0.0
    lease_dir: str = LEASE_DIR

    @property
    def gpu_count(self) -> int:
        """All its GPUs, by the inventory."""
        return sum(item.count for item in self.gpus)

    def indexes(self, accelerator: str) -> tuple[int, ...]:
        """The numbers of its GPUs of that kind: the inventory counts them in its own order, from 0."""
        cards = [item.card.name for item in self.gpus for _ in range(item.count)]
        return tuple(number for number, name in enumerate(cards) if name == accelerator)


@dataclass(frozen=True)
class _Place:
    """Where in the file something stands."""

    file: Path
    line: int
    host: str = ""

    def error(self, what: str, hint: str = "") -> UsageError:
        host = f", host {self.host}" if self.host else ""
        return UsageError(f"{self.file}, line {self.line}{host}: {what}", hint)


@dataclass(frozen=True)
class _Map:
    """A YAML mapping with the lines of its keys."""

    values: Mapping[str, Any]
    lines: Mapping[str, int]
    line: int = field(default=0)


def load(path: Path, cards: Cards, lease_dir: str = "") -> tuple[Host, ...]:
    """The hosts in the order of the file. `cards` finds a GPU by name; `lease_dir` overrides the file's.

    Raises UsageError for a file that is missing, cannot be read or says something wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"There is no inventory {path}.", f"Make it, for example:\n{EXAMPLE}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UsageError(f"{path} cannot be read: {reason}.", "Check its permissions.") from None
    top = _parsed(path, text)
    listed = _listed(path, top)
    hosts = tuple(_host(path, entry, cards, lease_dir) for entry in listed)
    _refuse_doubles(path, listed)
    return tuple(_with_jumps(path, host, entry, hosts) for host, entry in zip(hosts, listed, strict=True))


def _parsed(path: Path, text: str) -> Any:
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return _plain(node, path) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise _Place(path, line).error(f"this is not YAML: {problem}.", "Check the indentation and quotes.") from None


def _plain(node: Any, path: Path) -> Any:
    """A composed node as `_Map`, list or scalar, the lines kept."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        values, lines = {}, {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in values:
                raise _Place(path, key_node.start_mark.line + 1).error(f"'{key}' stands there twice.")
            values[key], lines[key] = _plain(value_node, path), key_node.start_mark.line + 1
        return _Map(values, lines, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, path) for item in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def _listed(path: Path, top: Any) -> list[_Map]:
    if not isinstance(top, _Map) or not isinstance(top.values.get("hosts"), list):
        raise _Place(path, 1).error("there is no list `hosts:`.", f"Write it like:\n{EXAMPLE}")
    for key, line in top.lines.items():
        if key != "hosts":
            raise _Place(path, line).error(f"the key '{key}' is not known.", "Only `hosts` stands there.")
    entries = top.values["hosts"]
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, _Map):
            raise _Place(path, top.lines["hosts"]).error(f"host {number} is not a mapping.", f"As in:\n{EXAMPLE}")
    return list(entries)


def _host(path: Path, entry: _Map, cards: Cards, lease_dir: str) -> Host:
    place = _Place(path, entry.line, str(entry.values.get("name") or ""))

    def at(key: str) -> _Place:
        return replace(place, line=entry.lines.get(key, entry.line))

    for key in entry.values:
        if key not in HOST_KEYS:
            close = nearest(key, HOST_KEYS)
            hint = f"Did you mean {', '.join(close)}?" if close else f"Known: {', '.join(HOST_KEYS)}."
            raise at(key).error(f"the key '{key}' is not known.", hint)
    name, address = _text(entry, "name", at), _text(entry, "address", at)
    if not NAME.fullmatch(name):
        raise at("name").error(f"'{name}' is not a name.", "Use letters, digits, dots, dashes and underscores.")
    if re.search(r"[\s@/]", address):
        raise at("address").error(f"'{address}' is not an address.", "The user and the port have keys of their own.")
    endpoint = Endpoint(
        host=address,
        port=_port(entry.values.get("port"), at("port")),
        user=str(entry.values.get("user") or getpass.getuser()),
        identity_file=str(entry.values.get("identity_file") or ""),
        host_key=_fingerprint(entry.values.get("fingerprint"), at("fingerprint")),
        agent=True,
    )
    folder = lease_dir or str(entry.values.get("lease_dir") or LEASE_DIR)
    if not folder.startswith("/") or "\n" in folder:
        raise at("lease_dir").error(f"'{folder}' is not an absolute path.", f"The usual one is {LEASE_DIR}.")
    return Host(
        name=name,
        endpoint=endpoint,
        gpus=_gpus(entry.values.get("gpus"), cards, at("gpus")),
        usd_per_hour=_price(entry.values.get("usd_per_hour"), at("usd_per_hour")),
        lease_dir=folder.rstrip("/") or "/",
    )


def _text(entry: _Map, key: str, at: Callable[[str], _Place]) -> str:
    value = entry.values.get(key)
    if not isinstance(value, str) or not value:
        raise at(key).error(f"there is no {key}.", f"As in:\n{EXAMPLE}")
    return value


def _port(value: Any, place: _Place) -> int:
    if value is None:
        return 22
    if not isinstance(value, str) or not value.isdigit() or not 1 <= int(value) <= 65535:
        raise place.error(f"'{value}' is not a port.", "Use a number from 1 to 65535.")
    return int(value)


def _fingerprint(value: Any, place: _Place) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or not FINGERPRINT.fullmatch(value):
        raise place.error(
            f"'{value}' is not a fingerprint.",
            "It looks like SHA256:… and is shown by `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` there.",
        )
    return value.rstrip("=")


def _price(value: Any, place: _Place) -> float:
    try:
        price = float(value) if value is not None else 0.0
    except (TypeError, ValueError):
        price = -1.0
    if not 0 <= price < float("inf"):
        raise place.error(f"'{value}' is not a price.", "Write USD per hour for the whole machine, like 0.25.")
    return price


def _gpus(value: Any, cards: Cards, place: _Place) -> tuple[Gpus, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise place.error("`gpus` is not a list.", "Write it like: gpus: [{model: RTX3090, count: 2}]")
    return tuple(_gpu(item, cards, place) for item in value)


def _gpu(item: Any, cards: Cards, place: _Place) -> Gpus:
    hint = "Write it like: gpus: [{model: RTX3090, count: 2}]"
    if not isinstance(item, _Map):
        raise place.error("a GPU is not written as model and count.", hint)
    place = replace(place, line=item.line)
    for key in item.values:
        if key not in ("model", "count"):
            raise place.error(f"the key '{key}' is not known.", hint)
    model, count = item.values.get("model"), item.values.get("count", "1")
    if not isinstance(model, str) or not model:
        raise place.error("a GPU has no model.", hint)
    if not isinstance(count, str) or not count.isdigit() or not 1 <= int(count) <= 1024:
        raise place.error(f"'{count}' is not a number of GPUs.", hint)
    try:
        return Gpus(cards(model), int(count))
    except UsageError as error:
        raise place.error(error.message, error.hint) from None


def _refuse_doubles(path: Path, listed: list[_Map]) -> None:
    seen: dict[str, int] = {}
    for entry in listed:
        name = str(entry.values["name"]).casefold()
        if name in seen:
            place = _Place(path, entry.lines["name"], entry.values["name"])
            raise place.error(f"this name is taken by line {seen[name]}.", "Every host needs a name of its own.")
        seen[name] = entry.lines["name"]


# ---- jump hosts


def _with_jumps(path: Path, host: Host, entry: _Map, hosts: tuple[Host, ...]) -> Host:
    """The host with its way there: each hop is a host of the inventory by name, or [user@]address[:port]."""
    text = entry.values.get("proxy_jump")
    if text is None:
        return host
    place = _Place(path, entry.lines["proxy_jump"], host.name)
    words = text if isinstance(text, list) else str(text).split(",")
    by_name = {other.name.casefold(): other for other in hosts}
    hops = tuple(_hop(str(word).strip(), host, by_name, place) for word in words)
    return replace(host, endpoint=replace(host.endpoint, proxy_jump=hops))


def _hop(word: str, host: Host, by_name: Mapping[str, Host], place: _Place) -> Endpoint:
    if word.casefold() == host.name.casefold():
        raise place.error("it is its own jump host.", "Name another host.")
    if word.casefold() in by_name:
        return by_name[word.casefold()].endpoint
    match = JUMP.fullmatch(word)
    if match is None:
        raise place.error(f"'{word}' is not a jump host.", "Write user@address:port, or the name of another host here.")
    user, address, port = match[1], match[2].strip("[]"), match[3]
    return Endpoint(
        host=address,
        port=_port(port, place),
        user=user or host.endpoint.user,
        identity_file=host.endpoint.identity_file,
        agent=True,
    )
