"""One reading of a model: how its pictures are prepared and how its outputs are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CNN: Mapping[str, Any] = {"color_order": "RGB", "range": "0..1"}
BYTES: Mapping[str, Any] = {"color_order": "RGB", "range": "0..255"}
IMAGENET: Mapping[str, Any] = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""Mean and deviation of ImageNet's colors in the range 0..1, as torchvision's models and many others use them."""


@dataclass(frozen=True, slots=True)
class Contract:
    """How a decoder fits the outputs.

    `what` says it in words. `labels` is how many the outputs tell apart, 0 if they do not say; `outputs` the graph's
    name of each role, `options` the decoder's, and `preparation` keys of ``[input]``: what is usual for such models.
    """

    what: str
    decoder: str
    labels: int
    outputs: Mapping[str, str]
    preparation: Mapping[str, Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        return "classification" if self.decoder == "classify" else "detection"
