"""The few images that the simulated AWS has, and the public parameters that lead to them."""

from __future__ import annotations


def _image(identifier: str, name: str, root: str = "/dev/sda1", gib: int = 8, arch: str = "x86_64") -> str:
    disk = (
        f"<snapshotId>snap-1</snapshotId><volumeSize>{gib}</volumeSize><deleteOnTermination>true</deleteOnTermination>"
    )
    second = "<item><deviceName>/dev/sdb</deviceName><virtualName>ephemeral0</virtualName></item>"
    return (
        f"<item><imageId>{identifier}</imageId><imageState>available</imageState><architecture>{arch}</architecture>"
        f"<name>{name}</name><rootDeviceName>{root}</rootDeviceName><rootDeviceType>ebs</rootDeviceType>"
        f"<blockDeviceMapping><item><deviceName>{root}</deviceName><ebs>{disk}</ebs></item>{second}</blockDeviceMapping>"
        f"</item>"
    )


DLAMI, DLAMI_ARM = "ami-0d1a000000000001", "ami-0d1a000000000002"
UBUNTU, AMAZON, BIG = "ami-0ab0000000000001", "ami-0a20000000000001", "ami-0b16000000000001"
ALL = {
    DLAMI: _image(DLAMI, "Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04) 20261101", gib=65),
    DLAMI_ARM: _image(DLAMI_ARM, "Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)", arch="arm64"),
    UBUNTU: _image(UBUNTU, "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20261101"),
    AMAZON: _image(AMAZON, "al2023-ami-2023.6.20261101.0-kernel-6.1-x86_64", root="/dev/xvda"),
    BIG: _image(BIG, "ubuntu with everything", gib=500),
}
_BASE = "/aws/service/deeplearning/ami/{}/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
PARAMETERS = {
    _BASE.format("x86_64"): DLAMI,
    _BASE.format("arm64"): DLAMI_ARM,
    "/aws/service/canonical/ubuntu/server/22.04/stable/current/amd64/hvm/ebs-gp2/ami-id": UBUNTU,
    "/company/golden": AMAZON,
}
