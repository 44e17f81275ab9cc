"""A proof holds for one token, one deployment, one instance and one key, and for nothing else."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core.proof import MAX_PROOF_BYTES, PREFIX, is_token, proof_line, signed_bytes, verdict

TOKEN = "0f" * 32
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVu"
CLAIM = ("train-abcdefgh", "i-0123", KEY)


def by_hand(token: str, message: bytes) -> str:
    """HMAC-SHA256 from its definition (RFC 2104)."""
    block = bytes.fromhex(token).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + message).digest()
    return hashlib.sha256(bytes(b ^ 0x5C for b in block) + inner).hexdigest()


def test_what_is_signed_is_five_lines():
    assert signed_bytes(*CLAIM) == b"1\ntrain-abcdefgh\ni-0123\nssh-ed25519\nAAAAC3NzaC1lZDI1NTE5AAAAIGVu\n"
    assert signed_bytes(CLAIM[0], CLAIM[1], KEY + " root@host") == signed_bytes(*CLAIM)


def test_the_line_is_the_hmac_of_those_bytes():
    assert proof_line(TOKEN, *CLAIM) == f"{PREFIX} {by_hand(TOKEN, signed_bytes(*CLAIM))}\n"


def test_a_right_proof_is_found_behind_a_banner():
    answer = b"Welcome to the cloud\r\n\nLast login: never\n" + proof_line(TOKEN, *CLAIM).encode() + b"more\n"
    assert verdict(answer, TOKEN, *CLAIM) == "right"


@given(st.integers(0, 3), st.text("abcdef0123456789", min_size=4, max_size=8))
def test_a_proof_of_anything_else_is_wrong(which, other):
    asked = [TOKEN, *CLAIM]
    asked[which] = {0: "a" * 56 + other.ljust(8, "0"), 3: f"ssh-ed25519 AAAA{other}"}.get(which, f"x-{other}")
    assert verdict(proof_line(*asked).encode(), TOKEN, *CLAIM) == "wrong"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"cat: gpucloud-proof: No such file",
        b"gpucloud-proof-1 abc\n",
        b"xgpucloud-proof-1 " + b"a" * 64 + b"\n",
        b"gpucloud-proof-1 " + b"a" * 65 + b"\n",
        b"." * MAX_PROOF_BYTES + b"\n" + proof_line(TOKEN, *CLAIM).encode(),
    ],
)
def test_without_a_whole_line_in_reach_it_is_missing(answer):
    assert verdict(answer, TOKEN, *CLAIM) == "missing"


def test_other_key_types_ids_with_line_breaks_and_bad_tokens_are_refused():
    for claim in [("a", "b", "ssh-rsa AAAA"), ("a\nb", "c", KEY), ("", "c", KEY)]:
        with pytest.raises(ValueError):
            signed_bytes(*claim)
    with pytest.raises(ValueError):
        proof_line("0F" * 32, *CLAIM)
    assert is_token(TOKEN) and not is_token(TOKEN + "0") and not is_token("g" * 64)
