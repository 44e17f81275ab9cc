"""Real SSH servers behind the simulated instances: they boot, obey their boot data, and switch themselves off."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clouds.gcp.cloud import gpus_of
from tests.clouds.gcp.sim import GcpSim
from tests.clouds.machine import SimMachine

SHOWN = {"nvidia-tesla-t4": "Tesla T4", "nvidia-tesla-v100": "Tesla V100-SXM2-16GB"}


class Machines:
    """The machines of one simulator, all with their sshd on `port`."""

    def __init__(self, sim: GcpSim, folder: Path, port: int) -> None:
        self._sim, self._folder, self._port = sim, folder, port
        self.by_name: dict[str, SimMachine] = {}
        sim.cloud.switched_on, sim.cloud.switched_off = self._on, self._off

    def close(self) -> None:
        """End them all."""
        for machine in self.by_name.values():
            machine.close()

    def _on(self, instance: Mapping[str, Any]) -> None:
        address = instance["networkInterfaces"][0]["accessConfigs"][0]["natIP"]
        known = self.by_name.get(instance["name"])
        if known is not None:
            known._address = address  # another one after every start, as at Google
            known.power_on()
            return
        machine = SimMachine(self._folder / instance["name"], gpus=gpu_lines(instance), known=False, on_off=self._slept)
        self.by_name[instance["name"]] = machine
        words = {"instance_id": instance["name"], "user": getpass.getuser(), "address": address, "port": self._port}
        machine.start(boot_data_of(instance), **words)

    def _off(self, instance: Mapping[str, Any], for_ever: bool) -> None:
        machine = self.by_name.get(instance["name"])
        if machine is None:
            return
        if for_ever:
            del self.by_name[instance["name"]]
            machine.close()
        else:
            machine.power_off()

    def _slept(self, machine: SimMachine) -> None:
        """The guest has switched itself off: Compute Engine shows it as TERMINATED."""
        with self._sim.lock:
            name = next((name for name, known in self.by_name.items() if known is machine), "")
            if name:
                self._sim.cloud._turn_off(self._sim.cloud.instance(name))


def boot_data_of(instance: Mapping[str, Any]) -> str:
    """What the image's agent runs: Ubuntu's cloud-init the `user-data`, Debian's guest agent the `startup-script`."""
    items = {item["key"]: item["value"] for item in instance["metadata"]["items"]}
    debian = any("debian" in disk["source"] for disk in instance["disks"])
    return str(items["startup-script" if debian else "user-data"])


def gpu_lines(instance: Mapping[str, Any]) -> list[str]:
    """What `nvidia-smi -L` shows there."""
    cards = [
        (c["acceleratorType"].rpartition("/")[2], c["acceleratorCount"]) for c in instance.get("guestAccelerators", ())
    ]
    if not cards:
        cards = [("NVIDIA L4", count) for count in gpus_of(instance).values()]
    return [
        f"GPU {number}: {SHOWN.get(card, card)} (UUID: GPU-{number})"
        for card, count in cards
        for number in range(count)
    ]
