"""Which image a machine boots from: the clouds' own lookup at run time, never an id of ours."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.errors import BadRequest, NotOffered
from gpucloud.core.offers import Offer
from gpucloud.providers.aws.errors import code_of
from gpucloud.providers.aws.session import Clients

# Both parameters are used with these very words in public scripts of several authors (x86_64 and arm64).
DEEP_LEARNING = "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
UBUNTU = "/aws/service/canonical/ubuntu/server/22.04/stable/current/{arch}/hvm/ebs-gp2/ami-id"
CANONICAL_ARCH = {"x86_64": "amd64", "arm64": "arm64"}
WITHOUT_NVIDIA = ("radeon", "gaudi", "trainium", "inferentia", "neuron", "qualcomm", "xilinx", "alveo")
GPU_DISK_GIB, CPU_DISK_GIB = 100, 30
USERS = (
    ("debian", "admin"),
    ("amazon linux", "ec2-user"),
    ("al2023", "ec2-user"),
    ("amzn", "ec2-user"),
    ("rhel", "ec2-user"),
    ("suse", "ec2-user"),
    ("rocky", "rocky"),
    ("alma", "ec2-user"),
    ("fedora", "fedora"),
    ("centos", "centos"),
)
_AMI = re.compile(r"ami-[0-9a-f]{8,17}")


@dataclass(frozen=True)
class Image:
    """An image as EC2 describes it. `disks` are its other volumes by device, which end with the machine too."""

    id: str
    name: str
    root_device: str
    root_gib: int
    ssh_user: str
    disks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def has_nvidia(offer: Offer) -> bool:
    """Whether the machine needs an image with NVIDIA's driver."""
    return bool(offer.accelerator_count) and not offer.accelerator.casefold().startswith(WITHOUT_NVIDIA)


def wanted(image: str, offer: Offer) -> str:
    """What is looked up: an id, or an SSM parameter. Raises BadRequest for words that are neither."""
    given = image.removeprefix("resolve:ssm:")
    if not given:
        arch = offer.arch or "x86_64"
        if has_nvidia(offer):
            return DEEP_LEARNING.format(arch=arch)
        return UBUNTU.format(arch=CANONICAL_ARCH.get(arch, arch))
    if _AMI.fullmatch(given) or given.startswith("/"):
        return given
    raise BadRequest(
        f"'{image}' is not an image of AWS.",
        "Give --image ami-0123456789abcdef0, or an SSM parameter such as /aws/service/…/ami-id.",
    )


def disk_gib(asked: int | None, offer: Offer, root_gib: int) -> int:
    """The size of the root disk. Raises BadRequest when the image does not fit on what was asked for."""
    if asked is not None and asked < root_gib:
        raise BadRequest(f"The image needs a disk of {root_gib} GiB, not {asked}.", f"Use --disk-gib {root_gib}.")
    return asked or max(usual_disk_gib(offer), root_gib)


def usual_disk_gib(offer: Offer) -> int:
    """The root disk when nobody says how large: room for the driver, CUDA and a framework on GPU machines."""
    return GPU_DISK_GIB if offer.accelerator_count else CPU_DISK_GIB


class Images:
    """Lookups, asked once per region and word."""

    def __init__(self, clients: Clients) -> None:
        self._clients, self._lock = clients, threading.Lock()
        self._known: dict[tuple[str, str], Image] = {}

    def find(self, spec: LaunchSpec) -> Image:
        """The image of a launch. Raises NotOffered where the region does not have it."""
        region, word = spec.offer.region, wanted(spec.image, spec.offer)
        with self._lock:
            if (region, word) not in self._known:
                self._known[region, word] = self._ask(region, word, spec.offer.arch or "x86_64")
        return self._known[region, word]

    def _ask(self, region: str, word: str, arch: str) -> Image:
        identifier = word if word.startswith("ami-") else self._parameter(region, word)
        try:
            found = self._clients.call("ec2", region, "DescribeImages", ImageIds=[identifier]).get("Images") or []
        except BadRequest as error:
            if code_of(error).startswith("InvalidAMIID"):
                raise _absent(identifier, region) from error
            raise
        if not found:
            raise _absent(identifier, region)
        image = found[0]
        if image.get("Architecture", arch) != arch:
            raise NotOffered(f"The image {identifier} is for {image['Architecture']}, the machine is {arch}.")
        return _described(image)

    def _parameter(self, region: str, path: str) -> str:
        try:
            return str(self._clients.call("ssm", region, "GetParameter", Name=path)["Parameter"]["Value"])
        except BadRequest as error:
            if code_of(error).startswith("Parameter"):
                raise _absent(path, region) from error
            raise


def _absent(word: str, region: str) -> NotOffered:
    return NotOffered(f"There is no image {word} in {region}.", "Name another one with --image.")


def _described(image: Mapping[str, Any]) -> Image:
    root = image.get("RootDeviceName", "/dev/sda1")
    disks = {m["DeviceName"]: m["Ebs"] for m in image.get("BlockDeviceMappings", ()) if m.get("Ebs")}
    return Image(
        id=image["ImageId"],
        name=image.get("Name", image["ImageId"]),
        root_device=root,
        root_gib=int(disks.get(root, {}).get("VolumeSize", 8)),
        ssh_user=_user(f"{image.get('Name', '')} {image.get('Description', '')}".casefold()),
        disks={device: disk for device, disk in disks.items() if device != root},
    )


def _user(words: str) -> str:
    if "ubuntu" in words:
        return "ubuntu"
    return next((user for word, user in USERS if word in words), "ubuntu")
