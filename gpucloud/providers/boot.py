"""What the drivers of clouds share about booting: the script with a machine's facts in it, and the SSH port."""

from __future__ import annotations

import re
from pathlib import Path

from gpucloud.core.boot import BootFacts, boot_script
from gpucloud.core.errors import GpucloudError, UsageError
from gpucloud.providers.site import Site

SSH_PORT = "GPUCLOUD_SSH_PORT"  # for images whose sshd listens elsewhere
BOOTHOOK = "#cloud-boothook"
_INCLUDE = re.compile(r"^ *# include (\S+)(?: before (.+))?\n", re.MULTILINE)


def boot_data(site: Site, facts: BootFacts, *, cloud_init: bool = False) -> str:
    """The boot script of one machine: EC2's user data, GCP's startup-script, Azure's customData (not encoded).

    With `cloud_init` it is for images that have it: run in its first stage and at every boot, long before
    ordinary user data, which waits for the network and every package.
    """
    if site.templates is None:
        raise GpucloudError("The folder of templates is not known to the driver.")
    script = boot_script(whole_template(site.templates), facts)
    return f"{BOOTHOOK}\n{script}" if cloud_init else script


def whole_template(templates: Path) -> str:
    """`boot/boot.sh` with the scripts that it includes."""
    try:
        text = (templates / "boot" / "boot.sh").read_text(encoding="utf-8")
        return _INCLUDE.sub(lambda match: _part(templates / match[1], match[2]), text)
    except OSError as error:
        raise UsageError(
            f"The boot script cannot be read from {templates}: {error.strerror}.",
            "Unset GPUCLOUD_TEMPLATE_DIR or let it name a complete copy of the templates.",
        ) from error


def _part(path: Path, end: str | None) -> str:
    """A script, as far as the line that begins with `end`."""
    text = path.read_text(encoding="utf-8")
    return text.partition(f"\n{end}")[0] + "\n" if end else text


def ssh_port(site: Site) -> int:
    """The port on which the machines' sshd listens."""
    text = site.environ.get(SSH_PORT, "") or "22"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise UsageError(f"{SSH_PORT}={text} is not a port.", "Write a number from 1 to 65535.")
    return int(text)
