"""`--env-from` on a real OpenSSH server: made once per content, from a wheel of our own, with no network."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from gpucloud.core.environment import plan_setup, within
from gpucloud.remote.runs import RunSpec, follow, start
from tests.sshd import needs_sshd, openssh_server

pytestmark = needs_sshd
BASE = "gpucloud/test-aaaaaaaa"


def wheel(folder: Path, version: str) -> Path:
    """A wheel of one module that knows its version."""
    name = f"greeter-{version}.dist-info"
    files = {
        "greeter.py": f"version = {version!r}\n",
        f"{name}/METADATA": f"Metadata-Version: 2.1\nName: greeter\nVersion: {version}\n",
        f"{name}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()) for path, text in files.items()}
    lines = [f"{path},sha256={digests[path].rstrip(b'=').decode()},{len(files[path])}" for path in files]
    files[f"{name}/RECORD"] = "\n".join([*lines, f"{name}/RECORD,,", ""])
    made = folder / f"greeter-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return made


@pytest.fixture
def host(tmp_path):
    with openssh_server(tmp_path / "host") as server:
        (server.home / BASE / "work").mkdir(parents=True)
        yield server


def finished(server, number: int, requirements: bytes, command: tuple[str, ...] | str):
    """One run in the environment of these requirements, as a session plans it."""
    work = server.home / BASE / "work"
    (work / "requirements.txt").write_bytes(requirements)
    setup = plan_setup("", ("requirements.txt", requirements), BASE)
    spec = RunSpec(
        f"{BASE}/runs/{number}",
        f"{BASE}/work",
        command,
        setup=setup.text,
        setup_key=setup.key,
        launcher=within(setup.env_dir),
        env={"PIP_NO_INDEX": "1"},
    )
    connection = server.connect()
    start(connection, spec)
    parts: list[bytes] = []
    end = follow(lambda: connection, spec.run_dir, 0, parts.append)
    return b"".join(parts), end


def test_an_environment_is_made_once_per_content_and_kept(host):
    """One test for all: each environment costs seconds to make."""
    work = host.home / BASE / "work"
    requirement = f"./{wheel(work, '1.0').name}\n".encode()
    ask = ("python", "-c", "import greeter, os, sys; print(greeter.version, os.environ['VIRTUAL_ENV'] == sys.prefix)")
    assert finished(host, 1, requirement, ask)[0] == b"1.0 True\n"
    environments = host.home / BASE / "env"
    (made,) = environments.iterdir()
    (made / "kept").touch()
    assert finished(host, 2, requirement, ask)[0] == b"1.0 True\n"
    assert (made / "kept").exists() and [one.name for one in environments.iterdir()] == [made.name]
    lines = "false\npython -c 'import greeter; print(greeter.version)' && python -c 'import greeter'; exit 7"
    log, end = finished(host, 5, requirement, lines)
    assert (log, end.exit_code) == (b"1.0\n", 7), "every command of the text is in the environment"
    log, end = finished(host, 3, requirement + b"no-such-package-of-ours==9\n", ("touch", "ran"))
    assert end.setup_failed and end.exit_code and b"set-up failed with exit code" in log
    assert b"no-such-package-of-ours" in log and not (work / "ran").exists()
    assert finished(host, 4, requirement, ask)[0] == b"1.0 True\n"
    assert (made / "kept").exists() and not (work / "env").exists()
