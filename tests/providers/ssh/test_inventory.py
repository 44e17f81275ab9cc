"""hosts.yaml is checked word by word, and what is wrong is named with its line and host."""

from __future__ import annotations

import os

import pytest

from gpucloud.core.errors import UsageError
from gpucloud.core.offers import Accelerator
from gpucloud.providers.ssh.inventory import LEASE_DIR, load
from gpucloud.providers.ssh.offers import groups_of, offers_of

PRINT = "SHA256:" + "x" * 43
GOOD = f"""\
hosts:
  - name: box1
    address: 192.0.2.1
    port: 2222
    user: alice
    identity_file: ~/.ssh/box
    fingerprint: "{PRINT}"
    usd_per_hour: 0.8
    gpus: [{{model: 3090, count: 2}}, {{model: A100, count: 2}}]
  - {{name: box2, address: box2.example, proxy_jump: "box1, bob@gate.example:2200", gpus: [{{model: 3090, count: 2}}]}}
  - {{name: plain, address: 192.0.2.3}}
"""
CARDS = {"3090": "RTX3090", "RTX3090": "RTX3090", "A100": "A100-PCIE-40GB"}


def card(name: str) -> Accelerator:
    """The shipped catalog in small."""
    if name not in CARDS:
        raise UsageError(f"No GPU is called '{name}'.", "Did you mean RTX3090?")
    return Accelerator(CARDS[name], CARDS[name], memory_gib=24.0)


def read(folder, text: str, **words):
    path = folder / "hosts.yaml"
    path.write_text(text)
    return load(path, card, **words)


def test_what_it_says_is_what_is_had(tmp_path):
    box1, box2, plain = read(tmp_path, GOOD)
    end = box1.endpoint
    assert (end.host, end.port, end.user, end.identity_file) == ("192.0.2.1", 2222, "alice", "~/.ssh/box")
    assert (end.host_key, end.agent, box1.lease_dir, box1.usd_per_hour) == (PRINT, True, LEASE_DIR, 0.8)
    assert box1.indexes("RTX3090") == (0, 1) and box1.indexes("A100-PCIE-40GB") == (2, 3)
    hops = box2.endpoint.proxy_jump
    assert [(hop.host, hop.port, hop.user) for hop in hops] == [
        ("192.0.2.1", 2222, "alice"),
        ("gate.example", 2200, "bob"),
    ]
    assert hops[0].host_key == PRINT and hops[1].agent
    assert plain.gpus == () and plain.endpoint.port == 22 and plain.endpoint.user
    assert read(tmp_path, GOOD, lease_dir="/x")[0].lease_dir == "/x"


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("port: 2222", "prot: 2222"), 4, ("'prot'", "port")),
        (("port: 2222", "port: 70000"), 4, ("'70000'", "65535")),
        (("port: 2222", "port: ssh"), 4, ("'ssh'",)),
        (("name: plain", "name: box1"), 11, ("line 2",)),
        (("name: plain, ", ""), 11, ("no name",)),
        (("name: plain", "name: a b"), 11, ("'a b'",)),
        ((", address: 192.0.2.3", ""), 11, ("no address",)),
        (("address: 192.0.2.3", "address: bob@192.0.2.3"), 11, ("bob@",)),
        (("model: A100", "model: A1000"), 9, ("'A1000'", "RTX3090")),
        (
            ("count: 2}}, {{model: A100".replace("{{", "{").replace("}}", "}"), "count: two}, {model: A100"),
            9,
            ("'two'",),
        ),
        (("model: A100", "kind: A100"), 9, ("'kind'",)),
        ((PRINT, "SHA256:short"), 7, ("fingerprint", "ssh-keygen")),
        (("usd_per_hour: 0.8", "usd_per_hour: cheap"), 8, ("'cheap'",)),
        (("user: alice", "lease_dir: here"), 5, ("'here'",)),
        (("box1, bob@", "box2, bob@"), 10, ("own jump host",)),
        (("box1, bob@", "a b, bob@"), 10, ("'a b'",)),
        (("    user: alice", "    user: alice\n    user: bob"), 6, ("'user'", "twice")),
        (("hosts:", "hostz:"), 1, ("hosts",)),
        (("    port: 2222", "   port: 2222"), 4, ("not YAML",)),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, change, line, words):
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    said = f"{caught.value.message} {caught.value.hint}"
    assert f"hosts.yaml, line {line}" in said and all(word in said for word in words), said
    assert caught.value.exit_code == 2


def test_a_file_that_is_missing_or_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="no inventory") as caught:
        load(tmp_path / "hosts.yaml", card)
    assert "address:" in caught.value.hint
    (tmp_path / "hosts.yaml").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "hosts.yaml", card)
    (tmp_path / "hosts.yaml").rmdir()
    (tmp_path / "hosts.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not text"):
        load(tmp_path / "hosts.yaml", card)
    if os.getuid():
        (tmp_path / "hosts.yaml").chmod(0)
        with pytest.raises(UsageError, match="Permission"):
            load(tmp_path / "hosts.yaml", card)


def test_every_host_and_count_is_an_offer(tmp_path):
    offers = offers_of(read(tmp_path, GOOD))
    assert [offer.instance_type for offer in offers] == [
        "box1",
        "box1+RTX3090:1",
        "box1+RTX3090:2",
        "box1+A100-PCIE-40GB:1",
        "box1+A100-PCIE-40GB:2",
        "box2",
        "box2+RTX3090:1",
        "box2+RTX3090:2",
        "plain",
    ]
    assert [offer.usd_per_hour for offer in offers[:5]] == [0.0, 0.2, 0.4, 0.2, 0.4], "each GPU its share of the host"
    assert {offer.price_kind for offer in offers} == {"own"} and all(offer.provisionable for offer in offers)


def test_several_nodes_are_different_hosts_with_equal_gpus(tmp_path):
    groups = groups_of(offers_of(read(tmp_path, GOOD)), 2)
    assert [(group.region, group.accelerator, group.accelerator_count) for group in groups] == [
        ("box1+box2", "", 0),
        ("box1+plain", "", 0),
        ("box2+plain", "", 0),
        ("box1+box2", "RTX3090", 1),
        ("box1+box2", "RTX3090", 2),
    ]
    assert groups[3].usd_per_hour == pytest.approx(0.1), "times two nodes is the price of both"
