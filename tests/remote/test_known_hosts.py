"""The pin of an own machine comes from the user's known_hosts, hashed names and odd ports included."""

from __future__ import annotations

import subprocess

from gpucloud.remote import keys
from gpucloud.remote.known_hosts import known_key


def test_names_ports_hashes_and_the_strongest_kind(tmp_path):
    ours = " ".join(keys.public_key(tmp_path / "a").split()[:2])
    other = " ".join(keys.public_key(tmp_path / "b").split()[:2])
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "r")], check=True)
    rsa = " ".join((tmp_path / "r.pub").read_text().split()[:2])
    known = tmp_path / "known_hosts"
    known.write_text(
        f"# mine\nbox {rsa}\nbox,10.0.0.9 {ours}\n[box]:2222 {other}\n@revoked bad {other}\n@cert-authority * {rsa}\n"
        f"old {rsa}\n"
    )
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    with known.open("a") as file:
        file.write("nonsense\nbroken ssh-ed25519 %%%\n")
    assert "10.0.0.9" not in known.read_text()
    assert known_key("box", 22, known) == ours
    assert known_key("10.0.0.9", 22, known) == ours
    assert known_key("box", 2222, known) == other
    assert known_key("old", 22, known) == rsa
    assert known_key("bad", 22, known) == known_key("nobody", 22, known) == ""


def test_without_the_file_nothing_is_known(tmp_path):
    assert known_key("box", 22, tmp_path / "none") == ""
