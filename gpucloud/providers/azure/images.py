"""Which image a machine boots from: the user's, or the newest that a publisher sells there, looked up each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gpucloud.core.errors import BadRequest, NotOffered
from gpucloud.core.offers import Offer
from gpucloud.providers.azure.api import Api
from gpucloud.providers.azure.errors import Missing

# Both stand with these very words in public guides: the first for NC and ND sizes, the second for MI300X.
GPU_IMAGE = "microsoft-dsvm:ubuntu-hpc:2204:latest"
AMD_IMAGE = "microsoft-dsvm:ubuntu-hpc:2204-rocm:latest"
CPU_IMAGE, CPU_ARM_IMAGE = "Canonical:ubuntu-24_04-lts:server:latest", "Canonical:ubuntu-24_04-lts:server-arm64:latest"
GPU_DISK_GIB, CPU_DISK_GIB = 128, 30
AMD = ("MI", "V710", "RADEON")


@dataclass(frozen=True)
class Image:
    """What a create request says of the image, the words to tell, and the least disk that it fits on."""

    reference: Mapping[str, str]
    name: str
    least_gib: int = 0
    plan: Mapping[str, str] = field(default_factory=dict)  # of a marketplace image that has one


def image_words(asked: str, offer: Offer) -> str:
    """The image by its URN or id, told without network. Raises NotOffered where there is none to propose."""
    if asked:
        return asked
    if not offer.accelerator:
        return CPU_ARM_IMAGE if offer.arch == "arm64" else CPU_IMAGE
    if offer.arch == "arm64":
        raise NotOffered(
            f"No image with a driver is known for {offer.instance_type} (arm64).", "Name one with --image."
        )
    return AMD_IMAGE if offer.accelerator.upper().startswith(AMD) else GPU_IMAGE


def find_image(api: Api, asked: str, offer: Offer) -> Image:
    """The image now. Raises NotOffered when it is not there in that region."""
    words = image_words(asked, offer)
    if words.startswith("/"):
        return Image(_reference(words), words)
    parts = words.split(":")
    if len(parts) != 4 or not all(parts):
        raise BadRequest(f"'{words}' is not an image of Azure.", "Write PUBLISHER:OFFER:SKU:VERSION or the image's id.")
    return _published(api, words, parts, offer.region)


def _reference(identifier: str) -> Mapping[str, str]:
    """Of an image, a gallery's image, or one of a gallery that is shared or open to all."""
    folded = identifier.casefold()
    if folded.startswith("/communitygalleries/"):
        return {"communityGalleryImageId": identifier}
    if folded.startswith("/sharedgalleries/"):
        return {"sharedGalleryImageId": identifier}
    return {"id": identifier}


def _published(api: Api, words: str, parts: list[str], region: str) -> Image:
    publisher, offer, sku, version = parts
    images = api.compute.virtual_machine_images
    try:
        if version.casefold() == "latest":
            version = _newest(api, images, region, publisher, offer, sku, words)
        found = api.call(images.get, region, publisher, offer, sku, version)
    except Missing:
        raise _not_there(words, region) from None
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
    return Image(reference, ":".join(reference.values()), _size(found), _plan(found))


def _newest(api: Api, images: Any, region: str, publisher: str, offer: str, sku: str, words: str) -> str:
    found = api.call(images.list, region, publisher, offer, sku, top=1, orderby="name desc")
    if not found:
        raise _not_there(words, region)
    return str(found[0]["name"])


def _size(found: Mapping[str, Any]) -> int:
    disk = (found.get("properties") or {}).get("osDiskImage") or {}
    size = disk.get("sizeInGb")
    if size:
        return int(size)
    return -(-int(disk.get("sizeInBytes") or 0) // 2**30)


def _plan(found: Mapping[str, Any]) -> dict[str, str]:
    plan = (found.get("properties") or {}).get("plan") or {}
    return {key: str(plan[key]) for key in ("name", "publisher", "product") if plan.get(key)}


def _not_there(words: str, region: str) -> NotOffered:
    return NotOffered(f"Azure has no image {words} in {region}.", "`az vm image list --all` shows what there is.")


def disk_gib(image: Image, asked: int | None, has_gpu: bool) -> int:
    """The size of the OS disk; never less than the image needs."""
    return max(asked or (GPU_DISK_GIB if has_gpu else CPU_DISK_GIB), image.least_gib)
