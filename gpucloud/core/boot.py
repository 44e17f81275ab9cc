"""Boot data: the one script that a machine runs by itself, with the facts of this machine put in.

The template (`templates/boot/boot.sh`) holds words `@NAME@`, each alone on the right of an assignment; they are
replaced by the facts, quoted for sh. Comments and indentation do not travel.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

from gpucloud.core.errors import GpucloudError
from gpucloud.core.names import is_deployment_id
from gpucloud.core.proof import is_token

MAX_BYTES = 12 * 1024 - 16  # EC2 takes 16 KiB before base64; a first line for cloud-init may be added
_WORD = re.compile(r"@([A-Z_]+)@")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_INSTANCE = re.compile(r"[A-Za-z0-9._-]{0,128}")


@dataclass(frozen=True)
class BootFacts:
    """What one machine must know at boot. Nothing here is secret but the one-time `proof_token`.

    `instance_id` is the word under which the client proves the machine (`Resource.id`); empty: the machine asks
    its cloud (IMDSv2, or what cloud-init noted). Times are epoch seconds and seconds, None = that guard is off.
    `ending` is POSIX sh that is run before the machine switches itself off; it finds `$at_end` (`stop`, or
    `delete` when that was agreed and nothing would be lost) and `$reason` (`deadline`, `idle`, `late`). Of several
    `nodes` none ends for idleness before all are idle; they need each other's addresses (`remote.guards`).
    """

    deployment_id: str
    instance_id: str
    user: str
    public_key: str
    proof_token: str = field(repr=False)
    deadline_epoch_s: float | None = None
    idle_s: float | None = None
    ending: str = ""
    at_end: str = "stop"
    nodes: int = 1


def boot_script(template: str, facts: BootFacts) -> str:
    """The script for that machine, at most MAX_BYTES. Raises GpucloudError for facts that have no legal form."""
    _check(facts)
    values = {
        "DEPLOYMENT": facts.deployment_id,
        "INSTANCE": facts.instance_id,
        "LOGIN": facts.user,
        "KEY": facts.public_key.strip(),
        "TOKEN": facts.proof_token,
        "DEADLINE": _whole(facts.deadline_epoch_s),
        "IDLE": _whole(facts.idle_s),
        "AT_END": facts.at_end,
        "ENDING": facts.ending,
        "NODES": str(facts.nodes),
    }
    missing = {name for name in values if f"@{name}@" not in template}
    if missing:
        raise GpucloudError(f"The boot script has no place for {', '.join(sorted(missing))}.")
    text = _WORD.sub(lambda match: shlex.quote(values[match[1]]) if match[1] in values else match[0], _bare(template))
    if len(text.encode()) > MAX_BYTES:
        raise GpucloudError(f"The boot script has {len(text.encode())} bytes, more than {MAX_BYTES}.")
    return text


def _bare(template: str) -> str:
    """Without comment lines, blank lines and indentation; the first lines of scripts stay."""
    lines = [line.strip() for line in template.splitlines()]
    return "\n".join(line for line in lines if line and (not line.startswith("#") or line.startswith("#!"))) + "\n"


def _whole(seconds: float | None) -> str:
    return "" if seconds is None else str(round(seconds))


def _check(facts: BootFacts) -> None:
    checks = {
        "deployment": is_deployment_id(facts.deployment_id),
        "instance": _INSTANCE.fullmatch(facts.instance_id) is not None,
        "login user": _USER.fullmatch(facts.user) is not None,
        "public key": re.fullmatch(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\n]*)?", facts.public_key.strip()) is not None,
        "proof token": is_token(facts.proof_token),
        "ending": facts.at_end in ("stop", "delete"),
    }
    wrong = [name for name, right in checks.items() if not right]
    if wrong:
        raise GpucloudError(f"The boot data's {wrong[0]} has no legal form.")
