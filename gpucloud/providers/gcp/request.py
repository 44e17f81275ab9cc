"""The create request of one machine, as plain values; everything that bills is labelled in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpucloud.core.boot import BootFacts
from gpucloud.core.cloud import LaunchSpec
from gpucloud.core.names import node_name
from gpucloud.providers.boot import boot_data
from gpucloud.providers.gcp import guards
from gpucloud.providers.gcp.images import Image, disk_gib
from gpucloud.providers.gcp.marks import labels_of
from gpucloud.providers.gcp.network import Place
from gpucloud.providers.gcp.session import SCOPE
from gpucloud.providers.gcp.shapes import Shape, shape_of
from gpucloud.providers.site import Site


def instance_body(site: Site, spec: LaunchSpec, rank: int, image: Image, place: Place, now: float) -> dict[str, Any]:
    """The `Instance` of one rank."""
    shape, zone = shape_of(spec.offer), spec.offer.zone
    labels = labels_of(spec, guards.limit_of(spec), guards.login_of(spec))
    name = node_name(spec.deployment_id, spec.attempt, rank)
    body: dict[str, Any] = {
        "name": name,
        "description": f"gpucloud {spec.name}",
        "machine_type": f"zones/{zone}/machineTypes/{shape.machine_type}",
        "labels": labels,
        "disks": [_boot_disk(spec, name, shape, image, labels)],
        "network_interfaces": [_interface(spec, shape, place)],
        "tags": {"items": [place.tag]},
        "metadata": {"items": _metadata(site, spec, name, shape)},
        "scheduling": scheduling(shape.has_gpu, spec.offer.market, guards.run_seconds(spec, now)),
        "shielded_instance_config": {"enable_vtpm": True, "enable_integrity_monitoring": True},
    }
    if shape.accelerator:
        kind = f"zones/{zone}/acceleratorTypes/{shape.accelerator}"
        body["guest_accelerators"] = [{"accelerator_type": kind, "accelerator_count": shape.accelerator_count}]
    if spec.options.get("identity"):
        body["service_accounts"] = [{"email": spec.options["identity"], "scopes": [SCOPE]}]
    return body


def _boot_disk(spec: LaunchSpec, name: str, shape: Shape, image: Image, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "boot": True,
        "auto_delete": True,
        "initialize_params": {
            "disk_name": name,
            "source_image": image.link,
            "disk_size_gb": disk_gib(image, spec.disk_gib, shape.has_gpu),
            "disk_type": f"zones/{spec.offer.zone}/diskTypes/{shape.disk_type}",
            "labels": dict(labels),
        },
    }


def _interface(spec: LaunchSpec, shape: Shape, place: Place) -> dict[str, Any]:
    found: dict[str, Any] = {"subnetwork": place.subnetwork} if place.subnetwork else {"network": place.network}
    if spec.options.get("private") != "yes":
        found["access_configs"] = [{"name": "External NAT", "type_": "ONE_TO_ONE_NAT"}]
    if shape.gvnic:
        found["nic_type"] = "GVNIC"
    return found


def _metadata(site: Site, spec: LaunchSpec, name: str, shape: Shape) -> list[dict[str, str]]:
    """The boot script under both keys: Ubuntu's cloud-init reads `user-data`, Debian's agent `startup-script`."""
    facts = BootFacts(
        deployment_id=spec.deployment_id,
        instance_id=name,
        user=guards.login_of(spec),
        public_key=spec.public_key,
        proof_token=spec.proof_token,
        deadline_epoch_s=guards.in_machine_deadline(spec),
        idle_s=spec.idle_s,
        nodes=spec.nodes,
    )
    items = {
        "user-data": boot_data(site, facts, cloud_init=True),
        "startup-script": boot_data(site, facts),
        "block-project-ssh-keys": "TRUE",
        "enable-oslogin": "FALSE",
    }
    if shape.has_gpu:
        items["install-nvidia-driver"] = "True"
    return [{"key": key, "value": value} for key, value in items.items()]


def scheduling(has_gpu: bool, market: str, run_seconds: int | None) -> dict[str, Any]:
    """GPUs cannot be moved to another host; spot machines are not restarted; the limit deletes, disk and all."""
    spot = market == "spot"
    found: dict[str, Any] = {
        "on_host_maintenance": "TERMINATE" if has_gpu or spot else "MIGRATE",
        "automatic_restart": not spot,
        "provisioning_model": "SPOT" if spot else "STANDARD",
    }
    if run_seconds is not None:
        found["max_run_duration"] = {"seconds": run_seconds}
    if spot or run_seconds is not None:
        found["instance_termination_action"] = "DELETE"
    return found
