"""Real SSH servers behind the simulated instances: they boot, obey their user data, and switch themselves off."""

from __future__ import annotations

import getpass
import threading
from pathlib import Path

from tests.clouds.aws.sim import AwsSim, Made
from tests.clouds.boots import own_address
from tests.clouds.machine import SimMachine

CARDS = {"g5": "NVIDIA A10G", "g4dn": "Tesla T4", "g6": "NVIDIA L4"}


class Machines:
    """The machines of one simulator, all with their sshd on `port`; they boot while EC2 already says `running`."""

    def __init__(self, sim: AwsSim, folder: Path, port: int) -> None:
        self._sim, self._folder, self._port = sim, folder, port
        self.by_id: dict[str, SimMachine] = {}
        self.without_driver = False  # images that show no GPU
        self._jobs: list[threading.Thread] = []
        sim.on_run, sim.on_power = self._run, self._power

    def close(self) -> None:
        """End them all."""
        self._join()
        for machine in self.by_id.values():
            machine.close()

    def _join(self) -> None:
        for job in self._jobs:
            job.join()

    def _later(self, job: threading.Thread) -> None:
        self._jobs.append(job)
        job.start()

    def _run(self, identifier: str, made: Made) -> None:
        family = made.instance_type.partition(".")[0]
        shown = [f"GPU 0: {CARDS[family]} (UUID: GPU-0)"] if family in CARDS and not self.without_driver else []
        address = self._sim.addresses[identifier] = own_address()
        machine = SimMachine(self._folder / identifier, gpus=shown, on_off=lambda _: self._slept(identifier))
        self.by_id[identifier] = machine
        words = {"instance_id": identifier, "user": getpass.getuser(), "address": address, "port": self._port}
        self._later(threading.Thread(target=machine.start, args=(made.user_data,), kwargs=words))

    def _power(self, identifier: str, what: str) -> None:
        """EC2 switches a machine; it does so while nobody else waits for the cloud."""
        machine = self.by_id[identifier]
        ways = {"on": machine.power_on, "off": machine.power_off, "end": machine.close}
        earlier = list(self._jobs)

        def switch() -> None:
            for job in earlier:
                job.join()
            ways[what]()

        self._later(threading.Thread(target=switch))

    def _slept(self, identifier: str) -> None:
        """The guest has switched itself off."""
        self._sim.guest_off(identifier)
