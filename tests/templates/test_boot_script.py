"""The boot script as text: small, clean for every sh, nothing secret but its token, and only legal facts in it."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpucloud.core.boot import MAX_BYTES, BootFacts, boot_script
from gpucloud.core.errors import GpucloudError, UsageError
from gpucloud.providers.boot import boot_data, ssh_port, whole_template
from gpucloud.providers.site import Site
from tests.machines import until

TEMPLATES = Path(__file__).parents[2] / "templates"
TOKEN = "0123456789abcdef" * 4
FACTS = BootFacts("demo-abcdefgh", "i-1", "ubuntu", "ssh-ed25519 AAAAC3 me@home", TOKEN, 1_800_000_000.4, 3600.0)
SITE = Site(Path("/nowhere"), "home-1", templates=TEMPLATES)
TEMPLATE = whole_template(TEMPLATES)
needs_shellcheck = pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is missing (apt install it)")


@pytest.mark.parametrize("shell", [["dash"], ["bash", "--posix"], ["busybox", "sh"]], ids=lambda words: words[0])
def test_every_shell_can_read_it(shell):
    if not shutil.which(shell[0]):
        pytest.skip(f"{shell[0]} is not here")
    subprocess.run([*shell, "-n"], input=boot_data(SITE, FACTS), text=True, check=True)


@needs_shellcheck
def test_shellcheck_has_nothing_to_say():
    words = ["shellcheck", "-s", "sh", "-S", "warning", "-"]
    done = subprocess.run(words, input=boot_data(SITE, FACTS), capture_output=True, text=True, check=False)
    assert done.stdout == ""


@needs_shellcheck
def test_shellcheck_of_the_scripts_over_ssh_too():
    for name in ("deadline.sh", "proof.sh"):
        text = (TEMPLATES / "remote" / name).read_text()
        words = ["shellcheck", "-s", "sh", "-S", "warning", "-e", "SC2154", "-"]
        assert subprocess.run(words, input=text, capture_output=True, text=True, check=False).stdout == ""


def test_it_is_small_and_holds_the_token_once():
    for cloud_init in (False, True):
        text = boot_data(SITE, replace(FACTS, ending="x" * 700), cloud_init=cloud_init)
        assert len(text.encode()) <= 12 * 1024
        assert text.count(TOKEN) == 1
    assert TOKEN not in repr(FACTS)


def test_the_longest_names_with_an_ending_still_fit():
    """An Azure machine with an identity, in a resource group of the longest name."""
    from gpucloud.providers.azure.ending import ending

    deployment = "a" * 31 + "-abcdefgh"
    group = f"/subscriptions/{'0' * 36}/resourceGroups/{'g' * 90}"
    vm = f"{group}/providers/Microsoft.Compute/virtualMachines/{deployment}-12-15"
    own = ending("https://management.azure.com", vm)
    facts = replace(FACTS, deployment_id=deployment, instance_id=f"{deployment}-12-15", ending=own, nodes=16)
    key = f"ssh-ed25519 {'A' * 68} gpucloud"
    assert len(boot_data(SITE, replace(facts, public_key=key, user="u" * 32), cloud_init=True).encode()) <= 12 * 1024


def test_nodes_hear_each_other_with_python3_and_bash_alone(tmp_path):
    """The script's own `serve` and `ask`, where nothing but what they need is on the PATH: no curl."""
    words = {"python3": sys.executable, **{name: shutil.which(name) for name in ("bash", "timeout", "tail")}}
    if not all(words.values()):
        pytest.skip("no bash, timeout or tail")
    text = boot_data(SITE, replace(FACTS, nodes=2))
    begin, end = text.index("\nask() {"), text.index("\nserve() {")
    verbs = text[begin : text.index("\n", begin + 1)] + text[end : text.index("\n", end + 1)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shown = tmp_path / "shown" / "last"
    shown.parent.mkdir()
    shown.write_text("12 34\n")

    def shell(line, *names):
        place = tmp_path / line.split()[0]
        place.mkdir(exist_ok=True)
        for name in names:
            (place / name).write_text(f'#!/bin/sh\nexec {shlex.quote(words[name])} "$@"\n')
            (place / name).chmod(0o755)
        head = f"run={shlex.quote(str(tmp_path))} port={port} GPUCLOUD_BOOT_ADDRESS=127.0.0.1"
        script = ["/bin/sh", "-c", f"{head}\n{verbs}\n{line}"]
        quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        return subprocess.Popen(script, env={"PATH": str(place)}, **quiet)

    def asked():
        return shell("ask 127.0.0.1", "bash", "timeout", "tail").communicate(timeout=60)[0]

    serving = shell("serve", "python3")
    try:
        until(lambda: asked() == "12 34\n")
        assert asked() == "12 34\n"
        shown.unlink()
        assert asked().strip() in ("", "</html>")  # nothing that `others_idle` takes for numbers
    finally:
        serving.kill()
        serving.communicate()
    assert asked() == ""  # nobody there


def test_too_much_is_our_bug():
    with pytest.raises(GpucloudError, match=f"more than {MAX_BYTES}"):
        boot_script(TEMPLATE, replace(FACTS, ending="x" * MAX_BYTES))


def test_how_the_clouds_want_it_to_begin():
    assert boot_data(SITE, FACTS).startswith("#!/bin/sh\ndeployment=demo-abcdefgh\n")
    assert boot_data(SITE, FACTS, cloud_init=True).startswith("#cloud-boothook\n#!/bin/sh\n")


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=80))
def test_the_cloud_s_ending_comes_through_whole(ending):
    head = boot_script(TEMPLATE, replace(FACTS, ending=ending)).partition("LC_ALL=C")[0]
    found = subprocess.run(["sh", "-c", f'{head}\nprintf "%s" "$ending"'], capture_output=True, check=True).stdout
    assert found.decode() == ending


@pytest.mark.parametrize(
    "changes",
    [
        {"deployment_id": "demo"},
        {"deployment_id": "$(reboot)-abcdefgh"},
        {"instance_id": "i 1"},
        {"user": "me;reboot"},
        {"user": ""},
        {"public_key": "ssh-ed25519 AAAA\nssh-ed25519 BBBB"},
        {"public_key": 'command="reboot" ssh-ed25519 AAAA'},
        {"proof_token": "short"},
        {"at_end": "explode"},
    ],
)
def test_facts_without_a_legal_form_are_refused(changes):
    with pytest.raises(GpucloudError, match="no legal form"):
        boot_script(TEMPLATE, replace(FACTS, **changes))


def test_a_template_without_a_place_for_the_token_is_refused():
    with pytest.raises(GpucloudError, match="no place for TOKEN"):
        boot_script(TEMPLATE.replace("@TOKEN@", ""), FACTS)


def test_times_are_whole_seconds_and_none_is_empty():
    text = boot_script(TEMPLATE, replace(FACTS, deadline_epoch_s=None))
    assert f"boot_deadline={shlex.quote('')}\nidle=3600\n" in text
    assert "boot_deadline=1800000000\n" in boot_script(TEMPLATE, FACTS)


def test_a_folder_without_the_script_is_the_user_s_mistake(tmp_path):
    with pytest.raises(UsageError, match="boot script"):
        boot_data(replace(SITE, templates=tmp_path), FACTS)


def test_the_port_of_the_machines():
    assert ssh_port(SITE) == 22
    assert ssh_port(replace(SITE, environ={"GPUCLOUD_SSH_PORT": "2222"})) == 2222
    for text in ("no", "0", "70000", "-1"):
        with pytest.raises(UsageError, match="not a port"):
            ssh_port(replace(SITE, environ={"GPUCLOUD_SSH_PORT": text}))
