"""Our key pair is made once, private, and understood by OpenSSH; the user's own keys are read with clear errors."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from gpucloud.core.errors import HostError, UsageError
from gpucloud.remote import keys

needs_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def keygen(*words: str) -> str:
    return subprocess.run(["ssh-keygen", *words], check=True, capture_output=True, text=True).stdout


def test_the_pair_is_made_once_and_private(tmp_path):
    path = tmp_path / "keys" / "id_ed25519"
    line = keys.public_key(path)
    assert line.startswith("ssh-ed25519 ") and line == keys.public_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(item.name for item in path.parent.iterdir()) == ["id_ed25519", "id_ed25519.pub"]


def test_racing_callers_agree_on_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        lines = set(pool.map(lambda _: keys.public_key(tmp_path / "k"), range(32)))
    assert len(lines) == 1
    assert sorted(item.name for item in tmp_path.iterdir()) == ["k", "k.pub"]


@needs_keygen
def test_openssh_reads_our_key_and_shows_the_same_fingerprint(tmp_path):
    line = keys.public_key(tmp_path / "k")
    assert keygen("-y", "-f", str(tmp_path / "k")).split()[:2] == line.split()[:2]
    assert keys.fingerprint(line) == keygen("-lf", str(tmp_path / "k.pub")).split()[1]


@needs_keygen
def test_a_lost_public_half_is_made_again(tmp_path):
    line = keys.public_key(tmp_path / "k")
    (tmp_path / "k.pub").unlink()
    assert keys.public_key(tmp_path / "k") == line


@needs_keygen
def test_missing_encrypted_and_broken_keys_are_clear_errors(tmp_path):
    keygen("-q", "-t", "ed25519", "-N", "secret words", "-f", str(tmp_path / "locked"))
    (tmp_path / "broken").write_text("nothing\n")
    for name, said in (("none", "no key file"), ("locked", "passphrase"), ("broken", "not a private key")):
        with pytest.raises(UsageError, match=said):
            keys.load(tmp_path / name)


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 not*base64"])
def test_what_is_no_key_line_is_said_so(line):
    with pytest.raises(HostError):
        keys.parse_line(line)
