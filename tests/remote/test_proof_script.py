"""The boot script for clouds makes the same proof as `core.proof`, and shows the token to no program."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gpucloud.core.proof import proof_line
from gpucloud.remote import keys
from gpucloud.remote.proof import new_token

SCRIPT = Path(__file__).parents[2] / "templates" / "remote" / "proof.sh"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]
PROGRAMS = ("sha256sum", "openssl", "dirname", "mkdir", "mv", "rm")


def sign(tmp_path: Path, shell: str, without: str = "") -> tuple[str, str, str, str]:
    """Run the script with programs that write down how they were called: (token, key, proof, calls)."""
    programs, calls = tmp_path / "bin", tmp_path / "calls"
    programs.mkdir()
    for name in PROGRAMS:
        real = shutil.which(name)
        if real and name != without:
            (programs / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"{calls}"\nexec {real} "$@"\n')
            (programs / name).chmod(0o755)
    token, key = new_token(), keys.public_key(tmp_path / "host")
    (tmp_path / "token").write_text(token + "\n")
    words = [shutil.which(shell) or shell, *(["sh"] if shell == "busybox" else []), str(SCRIPT)]
    proof = tmp_path / "base" / "gpucloud-proof"
    subprocess.run(
        [*words, "demo-abcdefgh", "i-1", str(tmp_path / "token"), str(proof), str(tmp_path / "host.pub")],
        env={"PATH": str(programs)},
        check=True,
    )
    assert not (tmp_path / "token").exists()
    return token, key, proof.read_text(), calls.read_text()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("without", ["openssl", "sha256sum"])
def test_it_signs_like_python(tmp_path, shell, without):
    if not shutil.which({"openssl": "sha256sum", "sha256sum": "openssl"}[without]):
        pytest.skip("the other program is not here")
    token, key, proof, calls = sign(tmp_path, shell, without)
    assert proof == proof_line(token, "demo-abcdefgh", "i-1", key)
    assert token not in calls and token[:16] not in calls


def test_a_broken_token_or_another_key_type_signs_nothing(tmp_path):
    keys.public_key(tmp_path / "host")
    (tmp_path / "rsa.pub").write_text("ssh-rsa AAAA\n")
    for token, public in (("0" * 63, "host.pub"), ("0" * 63 + "G", "host.pub"), ("0" * 64, "rsa.pub")):
        (tmp_path / "token").write_text(token + "\n")
        words = ["sh", str(SCRIPT), "d", "i", str(tmp_path / "token"), str(tmp_path / "proof"), str(tmp_path / public)]
        assert subprocess.run(words, env={"PATH": os.environ["PATH"]}, check=False).returncode in (64, 65)
        assert not (tmp_path / "proof").exists()
