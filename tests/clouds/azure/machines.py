"""Real SSH servers behind the simulated machines: they boot, obey their boot data, and switch themselves off."""

from __future__ import annotations

import base64
import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.clouds.azure import compute
from tests.clouds.azure.cloud import Thing
from tests.clouds.azure.sim import AzureSim
from tests.clouds.machine import SimMachine

SHOWN = {"Standard_NC4as_T4_v3": ("Tesla T4", 1), "Standard_NC8as_T4_v3": ("Tesla T4", 1)}


class Machines:
    """The machines of one simulator, all with their sshd on `port`."""

    def __init__(self, sim: AzureSim, folder: Path, port: int, environ: Mapping[str, str] | None = None) -> None:
        self._sim, self._folder, self._port, self._environ = sim, folder, port, dict(environ or {})
        self.by_name: dict[str, SimMachine] = {}
        sim.cloud.switched_on, sim.cloud.switched_off = self._on, self._off

    def close(self) -> None:
        """End them all."""
        for machine in list(self.by_name.values()):
            machine.close()

    def _on(self, thing: Thing) -> None:
        known = self.by_name.get(thing["name"])
        if known is not None:
            known.power_on()
            return
        machine = SimMachine(
            self._folder / thing["name"], gpus=_gpu_lines(thing), on_off=self._slept, environ=self._environ
        )
        self.by_name[thing["name"]] = machine
        data = base64.b64decode(thing["properties"]["osProfile"]["customData"]).decode()
        words = {"user": getpass.getuser(), "address": self._address(thing), "port": self._port}
        machine.folder.mkdir(parents=True)
        machine.start(data, instance_id=thing["properties"]["vmId"], **words)

    def _address(self, thing: Thing) -> str:
        things = self._sim.cloud.things
        nic = things[thing["properties"]["networkProfile"]["networkInterfaces"][0]["id"].lower()]
        inner: dict[str, Any] = nic["properties"]["ipConfigurations"][0]["properties"]
        return str(things[inner["publicIPAddress"]["id"].lower()]["properties"]["ipAddress"])

    def _off(self, thing: Thing, for_ever: bool) -> None:
        machine = self.by_name.get(thing["name"])
        if machine is None:
            return
        if for_ever:
            del self.by_name[thing["name"]]
            machine.close()
        else:
            machine.power_off()

    def _slept(self, machine: SimMachine) -> None:
        """The guest has switched itself off: Azure keeps it allocated, and it bills."""
        with self._sim.lock:
            name = next((name for name, known in self.by_name.items() if known is machine), "")
            if name:
                compute.guest_off(self._sim.cloud, self._sim.machine(name))


def _gpu_lines(thing: Thing) -> list[str]:
    """What `nvidia-smi -L` shows there."""
    name, count = SHOWN.get(thing["properties"]["hardwareProfile"]["vmSize"], ("", 0))
    return [f"GPU {number}: {name} (UUID: GPU-{number})" for number in range(count)]
