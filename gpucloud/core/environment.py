"""A Python environment from a requirements file: made once per content, outside the synced folder."""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass

CANDIDATES = ("requirements.lock", "requirements.txt")  # in this order for `--env-from auto`


@dataclass(frozen=True)
class Setup:
    """What has to run once before the command: the text, the key of its inputs, and the environment's folder."""

    text: str = ""
    key: str = ""
    env_dir: str = ""


def plan_setup(user_text: str, requirements: tuple[str, bytes] | None, base_dir: str) -> Setup:
    """The set-up of a run: the environment of a requirements file (name, content) first, then the user's text.

    `base_dir` is our folder on the machine, relative to the login home. The key changes with every input, so
    that a set-up is repeated exactly when its text or inputs changed.
    """
    digest = hashlib.sha256(user_text.encode())
    if requirements is None:
        return Setup(user_text, digest.hexdigest()[:16] if user_text.strip() else "")
    name, content = requirements
    env_key = hashlib.sha256(content).hexdigest()[:16]
    digest.update(content)
    env_dir = f"{base_dir}/env/{env_key}"
    return Setup(f"{_make_environment(name, env_dir)}\n{user_text}", digest.hexdigest()[:16], env_dir)


def _make_environment(name: str, env_dir: str) -> str:
    """Shell text, run in the synced folder: the environment appears whole or not at all."""
    return f"""\
set -e
gpucloud_env="$HOME"/{shlex.quote(env_dir)}
if [ ! -f "$gpucloud_env/.complete" ]; then
    rm -rf "$gpucloud_env"
    python3 -m venv "$gpucloud_env"
    "$gpucloud_env/bin/python" -m pip install --quiet --disable-pip-version-check -r {shlex.quote(name)}
    : >"$gpucloud_env/.complete"
fi
PATH="$gpucloud_env/bin:$PATH"; export PATH"""


def within(env_dir: str) -> tuple[str, ...]:
    """Words before a command that let it run in that environment."""
    if not env_dir:
        return ()
    script = 'PATH="$HOME/$0/bin:$PATH"; VIRTUAL_ENV="$HOME/$0"; export PATH VIRTUAL_ENV; exec "$@"'
    return ("/bin/sh", "-c", script, env_dir)
