"""Which image a machine boots from: the user's, or the newest of Google's for the purpose, looked up each time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gpucloud.core.errors import NotOffered
from gpucloud.providers.gcp.api import Api
from gpucloud.providers.gcp.errors import Missing

# Families of this project are named like common-cu129-ubuntu-2204-nvidia-580 in public Terraform files; none is fixed.
GPU_PROJECT, GPU_FAMILIES = "deeplearning-platform-release", "common-cu.*"
CPU_PROJECT, CPU_FAMILY = "ubuntu-os-cloud", "ubuntu-2404-lts-amd64"
GPU_DISK_GIB, CPU_DISK_GIB = 100, 20
LATEST = 100  # images looked at: newest first, they hold every living family
_CUDA = re.compile(r"common-cu([0-9]+)")


@dataclass(frozen=True)
class Image:
    """An image by its link, the family or name to tell, and the least disk that it fits on."""

    link: str
    name: str
    least_gib: int


def image_words(asked: str, has_gpu: bool) -> str:
    """What will be taken, told without network."""
    if asked:
        return asked
    if has_gpu:
        return f"newest {GPU_FAMILIES.replace('.*', '*')} of {GPU_PROJECT}, Ubuntu first (with NVIDIA driver)"
    return f"{CPU_PROJECT}/{CPU_FAMILY}"


def find_image(api: Api, asked: str, has_gpu: bool) -> Image:
    """The image now. Raises NotOffered when there is none of that name."""
    if asked:
        return _asked(api, asked)
    return _newest_with_driver(api) if has_gpu else _of_family(api, CPU_PROJECT, CPU_FAMILY)


def disk_gib(image: Image, asked: int | None, has_gpu: bool) -> int:
    """The size of the boot disk; never less than the image needs."""
    return max(asked or (GPU_DISK_GIB if has_gpu else CPU_DISK_GIB), image.least_gib)


def _asked(api: Api, asked: str) -> Image:
    """A link (`projects/P/global/images/NAME`, also `…/images/family/F`), `PROJECT/FAMILY`, or a family."""
    match = re.search(r"projects/([^/]+)/global/images/(family/)?([^/]+)$", asked)
    if match and not match[2]:
        return _known(api.get("Images", project=match[1], image=match[3]), asked)
    if match:
        return _of_family(api, match[1], match[3])
    project, slash, family = asked.rpartition("/")
    if slash:
        return _of_family(api, project, family)
    for place in (api.project, GPU_PROJECT, CPU_PROJECT):
        try:
            return _of_family(api, place, asked)
        except NotOffered:
            continue
    raise _none_called(asked)


def _of_family(api: Api, project: str, family: str) -> Image:
    try:
        found = api.call("Images", "get_from_family", project=project, family=family)
    except Missing:
        raise _none_called(f"{project}/{family}") from None
    return _known(found, family)


def _newest_with_driver(api: Api) -> Image:
    """Of the newest images with CUDA: Ubuntu before Debian (it has cloud-init), driver inside, highest CUDA."""
    words = f"family eq {GPU_FAMILIES}"
    newest: dict[str, Any] = {"order_by": "creationTimestamp desc", "max_results": LATEST}
    pager = api.call("Images", "list", project=GPU_PROJECT, filter=words, **newest)
    usable = [image for image in next(iter(pager.pages)).items if _usable(image)]
    return _known(_best(usable), f"{GPU_PROJECT}/{GPU_FAMILIES}")


def _usable(image: Any) -> bool:
    state = image.deprecated.state if image.deprecated else ""
    return state in ("", "ACTIVE") and image.status == "READY" and image.architecture in ("", "X86_64")


def _best(images: Iterable[Any]) -> Any | None:
    def worth(image: Any) -> tuple[bool, bool, int, str]:
        family = image.family
        cuda = _CUDA.match(family)
        return "ubuntu" in family, "nvidia" in family, int(cuda[1]) if cuda else 0, image.creation_timestamp

    return max(images, key=worth, default=None)


def _known(image: Any | None, asked: str) -> Image:
    if image is None:
        raise _none_called(asked)
    return Image(image.self_link, image.family or image.name, int(image.disk_size_gb or 0))


def _none_called(asked: str) -> NotOffered:
    hint = "`gcloud compute images list` shows what there is; write --image PROJECT/FAMILY."
    return NotOffered(f"Compute Engine has no image '{asked}'.", hint)
