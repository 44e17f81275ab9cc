"""A simulated cloud machine: a real OpenSSH sshd with a home and a root of its own, that obeys its boot script.

    machine = SimMachine(tmp_path / "vm")
    machine.start(boot_data, instance_id="i-1", user=getpass.getuser(), address="127.1.2.3", port=port)

The script runs for real. What it touches outside the login home is below `root`, and `poweroff`, `systemctl`, `date`,
`getent` and the like are found on PATH before the real ones, so the computer of the tests is never switched off.
`/proc` of the machine shows its own SSH connections, and the load, disks and networks that a test writes there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.sshd import SSHD, needs_sshd

__all__ = ["SSHD", "SimMachine", "needs_sshd"]

MARK = "GPUCLOUD_SIM_MACHINE"
LOOK_S = 0.05
QUIET = {
    "loadavg": "0.00 0.00 0.00 1/100 4242\n",
    "diskstats": "   8       0 sda 10 0 800 0 20 0 1600 0 0 0 0\n   8       1 sda1 10 0 800 0 20 0 1600 0 0 0 0\n",
    "net/dev": "Inter-|   Receive  |  Transmit\n face |bytes    packets errs drop|bytes\n"
    "    lo: 99999999 0 0 0 0 0 0 0 99999999 0 0 0 0 0 0 0\n  eth0: 1000 0 0 0 0 0 0 0 2000 0 0 0 0 0 0 0\n",
}
SSHD_CONFIG = """\
ListenAddress {address}
Port {port}
HostKey "{root}/etc/ssh/ssh_host_ed25519_key"
PidFile "{folder}/sshd.pid"
AuthorizedKeysFile "{home}/.ssh/authorized_keys"
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 200:30:400
MaxSessions 64
SetEnv "HOME={home}" "PATH={path}" "{mark}={folder}" "GPUCLOUD_BOOT_ROOT={root}"
Subsystem sftp internal-sftp
Match All
ForceCommand cd "$HOME"; c=$SSH_ORIGINAL_COMMAND; case "$c" in "") exec sh -l;; *) exec /bin/sh -c "$c";; esac
"""
SHADOWS = {
    "sh": 'exec {shell} "$@"',
    # the first of these words that the machine does not ignore switches it off
    "poweroff": 'echo "poweroff${{*:+ $*}}" >>{folder}/power-calls; exit 0',
    "shutdown": 'echo "shutdown $*" >>{folder}/power-calls; exit 0',
    "date": """read -r offset <{folder}/clock
        seconds=$(( $({date} +%s) + offset ))
        case $* in +%s) echo $seconds;; *) exec {date} -d "@$seconds" "$@";; esac""",
    "sleep": 'exec {sleep} "$@"',
    "sync": "exit 0",
    "chown": "exit 0",
    "getent": 'grep "^$2:" {root}/etc/passwd',
    "useradd": """for name; do :; done
        mkdir -p {home} && echo "$name:x:{uid}:{gid}::{home}:/bin/sh" >>{root}/etc/passwd""",
    "systemctl": """echo "$*" >>{folder}/systemctl-calls
        verb=$1 && shift
        case $verb in
        enable) for unit; do : >{folder}/enabled/"$unit"; done ;;
        poweroff) echo "systemctl poweroff${{*:+ $*}}" >>{folder}/power-calls ;;
        restart | start)
            for unit; do
                case $unit in -*) continue ;; esac
                if [ -s {folder}/units/"$unit" ]; then kill -9 "$(cat {folder}/units/"$unit")" 2>/dev/null; fi
                line=$(sed -n 's/^ExecStart=.bin.sh //p' {root}/etc/systemd/system/"$unit")
                setsid {folder}/bin/unit {folder}/units/"$unit" $line </dev/null >>{folder}/units.log 2>&1 &
            done ;;
        esac""",
    "unit": 'echo $$ >"$1"; shift; exec {shell} "$@"',
    "nvidia-smi": """case $1 in
        -L) cat {folder}/gpus ;;
        *) cat {folder}/gpu-use ;;
        esac""",
}


class SimMachine:
    """One machine. `state` is `running` or `off`; `on_off` is called when the guest has switched itself off."""

    def __init__(
        self,
        folder: Path,
        *,
        systemd: bool = True,
        user_exists: bool = True,
        cloud_init: bool = False,
        shell: str = "/bin/sh",
        known: bool = True,
        gpus: Sequence[str] = (),
        pace_s: float = 0.1,
        environ: Mapping[str, str] | None = None,
        on_off: Callable[[SimMachine], None] = lambda machine: None,
    ) -> None:
        self.folder, self.root, self.home = folder, folder / "root", folder / "home"
        self.state, self.on_off, self.power_calls_ignored = "off", on_off, 0
        self._systemd, self._user_exists, self._shell, self._gpus = systemd, user_exists, shell, tuple(gpus)
        self._path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self._environ = {
            "PATH": self._path,
            "HOME": "/root",
            MARK: str(folder),
            "GPUCLOUD_BOOT_ROOT": str(self.root),
            "GPUCLOUD_BOOT_PACE": str(pace_s),
            "GPUCLOUD_BOOT_GRACE": "1",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9",
            **(environ or {}),
        }
        self._cloud_init, self._known = cloud_init, known
        self._sshd: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    # ---- life

    def start(
        self, boot_data: str, *, instance_id: str, user: str, address: str, port: int, every_boot: bool = True
    ) -> None:
        """First boot. `every_boot`: the boot data is run at each boot (GCP's startup-script, a boothook)."""
        self.boot_data, self._every_boot = boot_data, every_boot
        self._user, self._address, self._port = user, address, port
        self._environ["GPUCLOUD_BOOT_ADDRESS"] = address  # other machines of the tests serve on the same port
        self._furnish(instance_id)
        self._thread.start()
        self.power_on()

    def power_on(self) -> None:
        """Boot: sshd, what systemd enabled, and the boot data where its time has come."""
        with self._lock:
            if self.state == "running":
                return
            first = not (self.root / "etc/ssh/ssh_host_ed25519_key").exists()
            if first:
                self.new_host_key()
            shutil.rmtree(self.root / "run", ignore_errors=True)
            (self.root / "run").mkdir()
            if self._systemd:
                (self.root / "run/systemd/system").mkdir(parents=True)
            if self._cloud_init:
                (self.root / "run/cloud-init").mkdir()
            (self.folder / "power-calls").write_text("")
            (self.root / "proc/sysrq-trigger").write_text("")
            self._start_sshd()
            self.state = "running"
            for unit in sorted(path.name for path in (self.folder / "enabled").iterdir()):
                self.call(str(self.folder / "bin/systemctl"), "start", unit)
            if first or self._every_boot:
                self.run_boot_data()

    def run_boot_data(self) -> None:
        """What cloud-init or the guest agent does with it."""
        script = self.folder / "boot-data"
        head, _, rest = self.boot_data.partition("\n")
        script.write_text(rest if head == "#cloud-boothook" else self.boot_data)
        assert script.read_text().startswith("#!/bin/sh\n")
        self.call(self._shell.split()[0], *self._shell.split()[1:], str(script))

    def call(self, *words: str) -> str:
        """Run something as the machine's root; its output. Raises CalledProcessError."""
        log = self.folder / "boot.log"
        with log.open("ab") as errors:
            done = subprocess.run(
                words, env=self._environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, timeout=30
            )
        if done.returncode:
            raise AssertionError(f"{words} ended with {done.returncode}: {log.read_text()[-500:]}")
        return done.stdout.decode()

    def power_off(self) -> None:
        """Pull the plug."""
        with self._lock:
            self.state = "off"
            if self._sshd is not None:
                _kill_tree(self._sshd.pid)
                self._sshd.wait()
                self._sshd = None
            while self._kill_marked():
                time.sleep(0.01)

    def close(self) -> None:
        """For good."""
        self._closed.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join()
        self.power_off()

    # ---- what tests move

    def move_clock(self, seconds: float) -> None:
        """The machine's clock goes forward."""
        path = self.folder / "clock"
        new = path.with_suffix(".new")
        new.write_text(f"{int(path.read_text()) + round(seconds)}\n")
        new.replace(path)

    @property
    def now(self) -> float:
        """The machine's time, in epoch seconds."""
        return time.time() + int((self.folder / "clock").read_text())

    def measure(self, name: str, text: str) -> None:
        """Write `loadavg`, `diskstats` or `net/dev` of the machine's /proc."""
        path = self.root / "proc" / name
        path.with_name(f".{path.name}").write_text(text)
        path.with_name(f".{path.name}").replace(path)

    def new_host_key(self) -> str:
        """Make the host key anew; the public line. sshd shows it from its next start."""
        key = self.root / "etc/ssh/ssh_host_ed25519_key"
        key.unlink(missing_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        return " ".join(key.with_suffix(".pub").read_text().split()[:2])

    def base(self, deployment_id: str) -> Path:
        """Our folder in the login home."""
        return self.home / "gpucloud" / deployment_id

    @property
    def log(self) -> str:
        """What the boot script wrote down."""
        path = self.root / "var/lib/gpucloud/log"
        return path.read_text() if path.exists() else ""

    @property
    def power_calls(self) -> list[str]:
        """How the guest tried to switch itself off since the last boot."""
        return (self.folder / "power-calls").read_text().splitlines()

    def watchers(self) -> list[str]:
        """Which watchers of the boot script are running."""
        return [name for name in ("deadline", "idle", "prove", "serve") if self.processes(name)]

    def processes(self, watcher: str) -> list[int]:
        """The processes of one watcher: those that no other one of it has started."""
        found = {}
        for pid in self._marked():
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                script = [f"{self.root}/var/lib/gpucloud/boot.sh".encode(), watcher.encode(), b""]
                if words[-3:] == script or (watcher == "serve" and b"http.server" in words):
                    found[pid] = _parent(pid)
        return [pid for pid, parent in found.items() if parent not in found]

    def signal(self, watcher: str, number: int) -> None:
        """Send a signal to a watcher."""
        for pid in self.processes(watcher):
            os.kill(pid, number)

    # ---- inside

    def _furnish(self, instance_id: str) -> None:
        for place in (
            "etc/ssh",
            "etc/sudoers.d",
            "etc/systemd/system",
            "var/lib/cloud/data",
            "proc/net",
            "proc/sys/kernel",
        ):
            (self.root / place).mkdir(parents=True, exist_ok=True)
        for place in ("bin", "enabled", "units"):
            (self.folder / place).mkdir(exist_ok=True)
        for name, text in QUIET.items():
            (self.root / "proc" / name).write_text(text)
        (self.folder / "clock").write_text("0\n")
        (self.folder / "gpus").write_text("".join(f"{line}\n" for line in self._gpus))
        (self.folder / "gpu-use").write_text("0\n" * max(1, len(self._gpus)))
        if self._known:  # as cloud-init notes it
            (self.root / "var/lib/cloud/data/instance-id").write_text(f"{instance_id}\n")
        line = f"{self._user}:x:{os.getuid()}:{os.getgid()}::{self.home}:/bin/sh\n"
        (self.root / "etc/passwd").write_text(line if self._user_exists else "")
        if self._user_exists:
            self.home.mkdir(exist_ok=True)
        self._write_shadows()

    def _write_shadows(self) -> None:
        words = {
            "folder": self.folder,
            "root": self.root,
            "home": self.home,
            "uid": os.getuid(),
            "gid": os.getgid(),
            "shell": self._shell,
            "date": shutil.which("date"),
            "sleep": shutil.which("sleep"),
        }
        for name, text in SHADOWS.items():
            if name == "nvidia-smi" and not self._gpus and not shutil.which("nvidia-smi"):
                continue
            path = self.folder / "bin" / name
            path.write_text(f"#!/bin/sh\n{text.format(**words)}\n")
            path.chmod(0o755)

    def _start_sshd(self) -> None:
        assert SSHD is not None
        config = self.folder / "sshd_config"
        config.write_text(
            SSHD_CONFIG.format(
                address=self._address,
                port=self._port,
                root=self.root,
                folder=self.folder,
                home=self.home,
                path=self._path,
                mark=MARK,
            )
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where a root sshd separates its privileges
        with (self.folder / "sshd.log").open("ab") as log:
            self._sshd = subprocess.Popen(
                [SSHD, "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                start_new_session=True,
            )

    def _watch(self) -> None:
        """Mirror the SSH connections into the machine's /proc, and switch off when the guest asks for it."""
        while not self._closed.wait(LOOK_S):
            with self._lock:
                if self.state != "running" or self._sshd is None:
                    continue
                self._mirror(_below(self._sshd.pid))
                asked = len(self.power_calls) > self.power_calls_ignored or self._sysrq() == "o"
                if asked:
                    self.power_off()
            if asked:
                self.on_off(self)

    def _sysrq(self) -> str:
        return (self.root / "proc/sysrq-trigger").read_text().strip()

    def _mirror(self, pids: Sequence[int]) -> None:
        proc = self.root / "proc"
        wanted = {str(pid) for pid in pids}
        for shown in [path for path in proc.iterdir() if path.name.isdigit() and path.name not in wanted]:
            shown.unlink()
        for pid in wanted:
            with contextlib.suppress(FileExistsError):
                (proc / pid).symlink_to(f"/proc/{pid}")

    def _marked(self) -> list[int]:
        """Processes of this machine, by their environment."""
        mark = f"{MARK}={self.folder}\0".encode()
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes() and _state(int(process.name)) != "Z":
                    found.append(int(process.name))
        return found

    def _kill_marked(self) -> bool:
        pids = self._marked()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
        return bool(pids)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _below(pid: int) -> list[int]:
    found = []
    for child in _children(pid):
        found += [child, *_below(child)]
    return found


def _kill_tree(pid: int) -> None:
    below = _below(pid)
    for one in (pid, *below):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)
