"""A model's raw outputs → candidates above a probability.

A decoder turns the outputs for one picture into `Candidates` with boxes in pixels of the model's input; all share
`suppress`. Each decoder documents its outputs. Pure numpy; a decoder keeps nothing between calls, so several threads
may share one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from camiohookd.errors import ModelError
from camiohookd.labelers.decoders.candidates import MAX_CANDIDATES, Candidates, Floats, suppress
from camiohookd.labelers.decoders.classify import Classify
from camiohookd.labelers.decoders.detr import Detr
from camiohookd.labelers.decoders.listed import Listed, TfOd, Torchvision
from camiohookd.labelers.decoders.nanodet import Nanodet
from camiohookd.labelers.decoders.paddle import Paddle
from camiohookd.labelers.decoders.ssd import Ssd
from camiohookd.labelers.decoders.yolo import Yolo
from camiohookd.labelers.decoders.yolox import Yolox

__all__ = ["DECODERS", "MAX_CANDIDATES", "Candidates", "Decoder", "Floats", "decoder", "suppress"]


class Decoder(Protocol):
    """Reads one kind of output.

    `separate` says that there is one candidate for each object, so none is suppressed; `batched` that the outputs have
    a first axis for the pictures. Without it, the model gets one picture at a time.
    """

    separate: bool
    batched: bool
    outputs: dict[str, tuple[int | None, ...]]
    """The shapes of the outputs by their role; None is any length, the first length is the batch's if there is one."""

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        """Return the candidates in the outputs for one picture, given in the property's order without batch axis."""
        ...


_ALL = (Ssd, Yolox, Yolo, Detr, Nanodet, Classify, Listed, TfOd, Torchvision, Paddle)

DECODERS: dict[str, Any] = {each.name: each for each in _ALL}
"""Decoders by their name in a `model.toml`; each class has its own `Options`."""


def decoder(name: str, size: tuple[int, int], labels: Sequence[str], options: Mapping[str, Any]) -> Decoder:
    """Return the decoder for an input of `size` (width, height) pixels; `options` are its own. Raises ModelError."""
    kind = DECODERS[name]
    try:
        made: Decoder = kind(size, labels, msgspec.convert(options, kind.Options))
    except msgspec.ValidationError as error:
        known = ", ".join(kind.Options.__struct_fields__) or "none"
        raise ModelError(f"[options] of the decoder {name}: {error}; it has the options: {known}") from None
    return made
