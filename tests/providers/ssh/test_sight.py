"""What a host says becomes values; nothing that it says can break us."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core.errors import UsageError
from gpucloud.core.offers import Accelerator
from gpucloud.providers.ssh.inventory import Gpus, Host
from gpucloud.providers.ssh.script import packed, unpacked
from gpucloud.providers.ssh.sight import holders, is_card, parsed
from tests.sshd import Endpoint

HOST = Host("box1", Endpoint("192.0.2.1"), (Gpus(Accelerator("RTX3090", "RTX3090"), 2),))


@pytest.mark.parametrize(
    ("shown", "accelerator", "same"),
    [
        ("NVIDIA GeForce RTX 3090", "RTX3090", True),
        ("NVIDIA GeForce RTX 3090 Ti", "RTX3090", False),
        ("NVIDIA GeForce RTX 3080 Ti", "RTX3080TI", True),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM-80GB", True),
        ("NVIDIA A100 80GB PCIe", "A100-PCIE-80GB", True),
        ("NVIDIA A10G", "A10", False),
        ("NVIDIA A100-SXM4-40GB", "A10", False),
        ("NVIDIA H100 80GB HBM3", "H100-SXM-80GB", True),
        ("Tesla P100-PCIE-16GB", "A100-PCIE-40GB", False),
        ("Tesla V100-SXM2-16GB", "V100-16GB", True),
        ("NVIDIA RTX A6000", "RTXA6000", True),
        ("NVIDIA RTX 6000 Ada Generation", "RTX6000-ADA", True),
        ("Quadro RTX 6000", "QUADRO-RTX6000", True),
        ("NVIDIA L40S", "L40", False),
        ("Tesla T4", "T4", True),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", "RTX2080-MAXQ", True),
        ("NVIDIA GeForce RTX 2080 with Max-Q Design", "RTX2080", False),
        ("NVIDIA GeForce GTX 1080 Ti", "GTX1080TI", True),
    ],
)
def test_a_card_is_known_by_what_its_driver_calls_it(shown, accelerator, same):
    assert is_card(shown, accelerator) is same


def test_a_gpu_whose_number_has_moved_is_not_given_away_twice():
    lines = ["now 100 0 x", "smi yes", "shown GPU 0: NVIDIA GeForce RTX 3090 (UUID: GPU-b)"]
    lines += ["top 1 7 held 0 90 bob GPU-b d-1 t -"]  # leased as number 1, before number 0 dropped off the bus
    assert parsed(lines).eligible(HOST, "RTX3090") == []
    assert parsed(lines[:3]).eligible(HOST, "RTX3090") == [(0, "GPU-b")]


def test_who_holds_what_in_words():
    lines = ["now 100 0 x", "smi no", "top 0 7 held 0 90 bob - d-1 t -", "top 1 8 odd 0 0 ? - - - -"]
    gpus = parsed(lines).gpus(HOST)
    assert holders(gpus).startswith(
        "GPU 0 is held by bob (d-1) without an end; GPU 1 is held by something that is no lease"
    )


@given(st.lists(st.text(max_size=40)), st.sampled_from(["top 0", "record", "app", "shown", "now 1 1", "smi", ""]))
def test_lines_of_any_kind_are_survived(texts, word):
    lines = ["now 1 0 x", *(f"{word} {text}" for text in texts if word not in ("now 1 1",))]
    parsed(line.replace("\n", " ") for line in lines)


@given(st.text(max_size=60))
def test_any_word_as_a_payload_is_survived(word):
    assert isinstance(unpacked(word), dict)


def test_a_payload_comes_back_and_one_that_no_link_can_hold_is_refused():
    body = {"k": {"team": "vision ü"}, "r": 1}
    assert unpacked(packed(body)) == body
    with pytest.raises(UsageError, match="tags"):
        packed({"k": {"note": "x" * 900}})
