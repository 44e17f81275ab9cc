"""What a machine signs to prove its host key, and how the answer is judged.

At boot the machine writes one line to `<base>/gpucloud-proof` (`core.wire.PROOF_FILE`):

    gpucloud-proof-1 SP <64 hex digits> NL

The digits are HMAC-SHA256 under the one-time token (64 hex digits, used as its 32 bytes) over `signed_bytes`.
The token came with the boot data; only the machine that got them can sign, and it signs the key that its own
sshd shows. A man in the middle shows another key, so not even a copied line helps him.
`templates/remote/proof.sh` makes the same line with a POSIX shell and openssl or sha256sum.
"""

from __future__ import annotations

import hashlib
import hmac
import re

PREFIX = "gpucloud-proof-1"
VERSION = "1"
KEY_TYPE = "ssh-ed25519"
MAX_PROOF_BYTES = 4096  # banners of a login shell may come first; more than this is not read

_TOKEN = re.compile(r"[0-9a-f]{64}")
_LINE = re.compile(rb"(?:^|\n)" + PREFIX.encode() + rb" ([0-9a-f]{64})[ \t\r]*(?:\n|$)")


def is_token(text: str) -> bool:
    """Whether `text` has the form of a one-time token: 64 lower-case hex digits."""
    return _TOKEN.fullmatch(text) is not None


def signed_bytes(deployment_id: str, instance_id: str, host_key: str) -> bytes:
    """The canonical bytes under the signature: version, deployment, instance, key type and key, a line each.

    `host_key` is a key line (`ssh-ed25519 AAAA…`, a comment is ignored). Raises ValueError for another key
    type, or for an id with a line break, which would make two claims look the same.
    """
    key_type, key = host_key.split()[:2]
    if key_type != KEY_TYPE:
        raise ValueError(f"only {KEY_TYPE} host keys are proved, not {key_type}")
    fields = (VERSION, deployment_id, instance_id, key_type, key)
    if any("\n" in field or not field for field in fields):
        raise ValueError("a field of the proof is empty or has a line break")
    return "".join(f"{field}\n" for field in fields).encode()


def proof_line(token: str, deployment_id: str, instance_id: str, host_key: str) -> str:
    """The line that the machine writes. Raises ValueError when `token` is not 64 hex digits."""
    if not is_token(token):
        raise ValueError("the token is not 64 lower-case hex digits")
    message = signed_bytes(deployment_id, instance_id, host_key)
    return f"{PREFIX} {hmac.new(bytes.fromhex(token), message, hashlib.sha256).hexdigest()}\n"


def verdict(answer: bytes, token: str, deployment_id: str, instance_id: str, host_key: str) -> str:
    """`right`, `wrong` (a proof of something else) or `missing`; compared in constant time."""
    found = _LINE.search(answer[:MAX_PROOF_BYTES])
    if found is None:
        return "missing"
    wanted = proof_line(token, deployment_id, instance_id, host_key).split()[1]
    return "right" if hmac.compare_digest(found[1], wanted.encode()) else "wrong"
