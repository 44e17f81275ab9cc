"""What the drivers of clouds share about booting: the script with a machine's facts in it, and the SSH port."""

from __future__ import annotations

from gpucloud.core.boot import BootFacts, boot_script
from gpucloud.core.errors import GpucloudError, UsageError
from gpucloud.providers.site import Site

SSH_PORT = "GPUCLOUD_SSH_PORT"  # for images whose sshd listens elsewhere


def boot_data(site: Site, facts: BootFacts) -> str:
    """The boot script of one machine: EC2's user data, GCP's startup-script, Azure's customData (not encoded)."""
    if site.templates is None:
        raise GpucloudError("The folder of templates is not known to the driver.")
    path = site.templates / "boot" / "boot.sh"
    try:
        template = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The boot script cannot be read from {path.parent}: {error.strerror}.",
            "Unset GPUCLOUD_TEMPLATE_DIR or let it name a complete copy of the templates.",
        ) from error
    return boot_script(template, facts)


def ssh_port(site: Site) -> int:
    """The port on which the machines' sshd listens."""
    text = site.environ.get(SSH_PORT, "") or "22"
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise UsageError(f"{SSH_PORT}={text} is not a port.", "Write a number from 1 to 65535.")
    return int(text)
