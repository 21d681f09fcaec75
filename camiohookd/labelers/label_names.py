"""Names of labels that many models were trained with: COCO's and ImageNet's."""

from functools import cache
from pathlib import Path

from camiohookd.labelers.model import find, load_description

_IMAGENET = Path(__file__).with_name("imagenet.txt")


def known_names(count: int) -> tuple[str, ...] | None:
    """Return the names of a well-known number of labels, None for any other number.

    80 are COCO's; 90 are COCO's by their ids from 1, with "" for those that were never used; 91 begin with the
    background. 1000 are ImageNet's, 1001 begin with the background.
    """
    coco = coco_by_id()
    imagenet = imagenet_names()
    names = (tuple(name for name in coco if name), coco, ("", *coco), imagenet, ("", *imagenet))
    return {len(each): each for each in names}.get(count)


@cache
def coco_by_id() -> tuple[str, ...]:
    """Return COCO's 90 ids' names, from 1. Raises ModelError if the shipped model, which has them, is damaged."""
    return load_description(find("ssdlite-mobilenet-v2-coco")).labels


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 labels as torchvision gives them."""
    return tuple(_IMAGENET.read_text(encoding="utf-8").splitlines())
