"""Plain ssh, scp and sftp understand the generated files, and check strictly."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gpucloud.core.cloud import Endpoint
from gpucloud.core.errors import UsageError
from gpucloud.remote import keys
from gpucloud.remote.sshconfig import Host, _block, add_include, forget, include_line, remember
from tests.machines import local_machine

needs_ssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="the ssh program is not installed")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGVuZGxlc3M="


@pytest.fixture
def place(tmp_path):
    """A folder with a blank and a percent sign in its name: (known_hosts, ssh_config)."""
    folder = tmp_path / "my 100% home"
    return folder / "known_hosts", folder / "ssh_config"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    with local_machine(tmp_path_factory.mktemp("my machines 5%")) as running:
        yield running


def run(config: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    control = ["-o", "ControlPath=none"]  # no master that outlives the test
    return subprocess.run([program, "-F", str(config), *control, *words], capture_output=True, text=True, check=False)


@needs_ssh
def test_ssh_scp_and_sftp_by_name(machine, place, tmp_path):
    remember(*place, "train", "train-abcdefgh", [machine.endpoint])
    user_config = tmp_path / "config"
    user_config.write_text("Host other\n  Port 1\n")
    assert add_include(user_config, place[1])
    answer = run(user_config, "ssh", "train", "echo $GPUCLOUD_MACHINE; exit 5")
    assert (answer.returncode, answer.stdout) == (5, f"{machine.resource.id}\n"), answer.stderr
    (tmp_path / "file").write_text("content")
    for program, extra in (("scp", []), ("scp", ["-O"])):
        assert run(user_config, program, *extra, str(tmp_path / "file"), "train:copied").returncode == 0
        assert (machine.home / "copied").read_text() == "content"
        (machine.home / "copied").unlink()


@needs_ssh
def test_another_key_is_refused_by_ssh_too(machine, place, tmp_path):
    stranger = replace(machine.endpoint, host_key=" ".join(keys.public_key(tmp_path / "k").split()[:2]))
    remember(*place, "train", "train-abcdefgh", [stranger])
    answer = run(place[1], "ssh", "train", "echo reached")
    assert answer.returncode == 255 and "reached" not in answer.stdout
    assert "Host key verification failed" in answer.stderr


@needs_ssh
def test_jump_hosts_are_strictly_checked_too(machine, tmp_path):
    place = (tmp_path / "known_hosts", tmp_path / "ssh_config")  # ssh passes its -F on, and stumbles over a % there
    hop = replace(machine.endpoint, dialect="sh")
    remember(*place, "train", "train-abcdefgh", [replace(machine.endpoint, proxy_jump=(hop,))])
    answer = run(place[1], "ssh", "train", "echo through")
    assert answer.stdout == "through\n", answer.stderr
    stranger = replace(hop, host_key=" ".join(keys.public_key(tmp_path / "k").split()[:2]))
    remember(*place, "train", "train-abcdefgh", [replace(machine.endpoint, proxy_jump=(stranger,))])
    assert run(place[1], "ssh", "train", "echo through").returncode == 255


@needs_ssh
def test_every_setting_reaches_ssh(place):
    endpoint = Endpoint("192.0.2.7", 2222, "me", str(place[0].parent / "id 1"), KEY)
    remember(*place, "train", "train-abcdefgh", [endpoint])
    listing = run(place[1], "ssh", "-G", "train").stdout
    settings = dict(line.split(" ", 1) for line in listing.splitlines() if " " in line)
    expected = {
        "hostname": "192.0.2.7",
        "port": "2222",
        "user": "me",
        "hostkeyalias": "train-abcdefgh-0",
        "hostkeyalgorithms": "ssh-ed25519",
        "stricthostkeychecking": "true",
        "identitiesonly": "yes",
        "globalknownhostsfile": "/dev/null",
    }
    assert expected.items() <= settings.items()


def test_a_shared_connection_where_its_socket_fits(place):
    endpoint = Endpoint("192.0.2.7", 2222, "me", "", KEY)
    short = Path("/h/gpucloud")
    assert "ControlMaster auto\n  ControlPath /h/gpucloud/c-" in _block(
        Host("a", "a-0", endpoint), short / "known_hosts"
    )
    assert "Control" not in _block(Host("a", "a-0", endpoint), Path("/" + "h" * 80) / "known_hosts")


@needs_ssh
def test_two_commands_share_one_connection(machine):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="gpc") as folder:
        place = (Path(folder) / "known_hosts", Path(folder) / "ssh_config")
        remember(*place, "train", "train-abcdefgh", [machine.endpoint])
        words = ["ssh", "-F", str(place[1])]
        seen = {
            subprocess.run([*words, "train", "echo $SSH_TEST; echo hi"], capture_output=True, text=True).stdout
            for _ in range(2)
        }
        assert seen == {"\nhi\n"}
        subprocess.run([*words, "-O", "check", "train"], check=True, capture_output=True)
        subprocess.run([*words, "-O", "exit", "train"], check=True, capture_output=True)


def test_lines_of_a_deployment_are_replaced_and_forgotten(place):
    other = Endpoint("192.0.2.8", 22, "me", "", KEY)
    remember(*place, "keep", "keep-abcdefgh", [other])
    kept = [path.read_text() for path in place]
    remember(*place, "train", "train-abcdefgh", [replace(other, host=f"192.0.2.{n}") for n in range(3)])
    assert [line for line in place[1].read_text().splitlines() if line.startswith("Host ")] == [
        "Host keep",
        "Host train",
        "Host train-0",
        "Host train-1",
        "Host train-2",
    ]
    remember(*place, "train", "train-abcdefgh", [other])
    assert place[1].read_text().count("Host train") == 1
    forget(*place, "train-abcdefgh")
    assert [path.read_text() for path in place] == kept
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in place)


def test_writers_at_once_lose_nothing(place):
    endpoint = Endpoint("192.0.2.8", 22, "me", "", KEY)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: remember(*place, f"n{n}", f"n{n}-abcdefgh", [endpoint]), range(24)))
    assert place[1].read_text().count("HostName") == place[0].read_text().count("ssh-ed25519") == 24


def test_the_include_line_comes_first_and_once(place, tmp_path):
    config, real = tmp_path / "config", tmp_path / "dotfiles"
    real.write_text("Host a\n  Port 2\n")
    real.chmod(0o644)
    config.symlink_to(real)
    assert add_include(config, place[1]) and not add_include(config, place[1])
    assert real.read_text() == f"{include_line(place[1])}\n\nHost a\n  Port 2\n"
    assert config.is_symlink() and real.stat().st_mode & 0o777 == 0o644
    assert add_include(tmp_path / "new" / "config", place[1])


@pytest.mark.parametrize("host", ["a b", "a\nProxyCommand evil", "-oProxyCommand=evil", "$(evil)", ""])
def test_names_that_could_be_read_as_commands_are_refused(place, host):
    with pytest.raises(UsageError):
        remember(*place, "train", "train-abcdefgh", [Endpoint(host, 22, "me", "", KEY)])


def test_a_machine_known_by_fingerprint_only_has_no_lines(place):
    remember(*place, "box", "box-abcdefgh", [Endpoint("192.0.2.8", 22, "me", "", keys.fingerprint(KEY))])
    assert not place[1].exists() or "Host" not in place[1].read_text()
