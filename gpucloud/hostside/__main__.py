"""`python -m gpucloud.hostside serve --machine DIR [--detach]`: the process of one local machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    """Parse the words, leave the starter behind, be the machine."""
    parser = argparse.ArgumentParser(prog="gpucloud.hostside")
    parser.add_argument("what", choices=["serve"])
    parser.add_argument("--machine", type=Path, required=True, help="the machine's folder")
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    words = parser.parse_args()
    if words.detach:
        if os.fork():
            os._exit(0)
        os.setsid()
    os.umask(0o022)  # the folder above is closed to others; jobs expect the usual modes
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(words.machine.resolve()))]
    os.environ.pop("PYTHONPATH", None)  # it was only our own way here

    from gpucloud.hostside.server import main as be_the_machine
    from gpucloud.providers.local.folder import Folder

    return be_the_machine(Folder(words.machine.resolve()), serve_verb)


def serve_verb(*words: Any) -> int:
    """The verbs load at the first use: a machine listens sooner without them."""
    from gpucloud.hostside import verbs

    return verbs.serve_verb(*words)


if __name__ == "__main__":
    sys.exit(main())
