"""The environment of a local machine: a short allow-list, so that nothing of the user's accounts gets in."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping
from pathlib import Path

from gpucloud.providers.local.folder import Folder
from gpucloud.providers.local.processes import MARK

# What describes this computer rather than its user. LD_LIBRARY_PATH and CUDA_* are how GPU libraries are found.
ALLOWED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_HOME", "CUDA_VISIBLE_DEVICES")
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def machine_environment(folder: Folder, ours: Mapping[str, str]) -> dict[str, str]:
    """What the machine's server and everything below it sees, made from our own environment."""
    kept = {name: ours[name] for name in ALLOWED if name in ours}
    return {
        "PATH": DEFAULT_PATH,
        **kept,
        "HOME": str(folder.home),
        "USER": user_name(),
        "LOGNAME": user_name(),
        "SHELL": login_shell(),
        "TMPDIR": str(folder.temporary),
        MARK: folder.id,
    }


def login_shell() -> str:
    """bash where there is one, else sh: the user's own shell would look for set-up files in an empty home."""
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"


def user_name() -> str:
    """The name of the Unix user that we run as."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return getpass.getuser() if "USER" in os.environ or "LOGNAME" in os.environ else str(os.getuid())


def server_environment(folder: Folder, ours: Mapping[str, str]) -> dict[str, str]:
    """`machine_environment` and the way to this package; the server takes that out again at its start."""
    import gpucloud

    above_package = str(Path(gpucloud.__file__).resolve().parent.parent)
    paths = [above_package, *filter(None, ours.get("PYTHONPATH", "").split(os.pathsep))]
    return {**machine_environment(folder, ours), "PYTHONPATH": os.pathsep.join(paths)}
