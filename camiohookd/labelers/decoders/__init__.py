"""A model's raw outputs → candidates above a probability.

A decoder turns the outputs for one picture into `Candidates` with boxes in pixels of the model's input; `suppress` is
the same for all. The contract of each output is written at its decoder. Pure numpy; a decoder keeps nothing between
calls, so that several threads share one.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from camiohookd.errors import ModelError
from camiohookd.labelers.decoders.candidates import MAX_CANDIDATES, Candidates, Floats, suppress
from camiohookd.labelers.decoders.classify import Classify
from camiohookd.labelers.decoders.detr import Detr
from camiohookd.labelers.decoders.nanodet import Nanodet
from camiohookd.labelers.decoders.ssd import Ssd
from camiohookd.labelers.decoders.yolo import Yolo
from camiohookd.labelers.decoders.yolox import Yolox

__all__ = ["DECODERS", "MAX_CANDIDATES", "Candidates", "Decoder", "Floats", "decoder", "suppress"]


class Decoder(Protocol):
    """One kind of output. `separate` says that there is one candidate an object, so that none has to be suppressed."""

    separate: bool
    outputs: dict[str, tuple[int | None, ...]]
    """The outputs by their role, with their shapes; None is any length, the first one the batch's."""

    def __call__(self, outputs: Sequence[Floats], min_probability: float) -> Candidates:
        """The candidates in the `outputs` for one picture, which come in the order of the property, without the batch
        axis."""
        ...


DECODERS: dict[str, Any] = {each.name: each for each in (Ssd, Yolox, Yolo, Detr, Nanodet, Classify)}
"""By the name that stands in a `model.toml`; each class has `Options` of its own."""


def decoder(name: str, size: tuple[int, int], labels: Sequence[str], options: Mapping[str, Any]) -> Decoder:
    """The decoder for an input of `size` (width, height) pixels; `options` are its own. Raises ModelError."""
    kind = DECODERS[name]
    try:
        made: Decoder = kind(size, labels, msgspec.convert(options, kind.Options))
    except msgspec.ValidationError as error:
        known = ", ".join(kind.Options.__struct_fields__) or "none"
        raise ModelError(f"[options] of the decoder {name}: {error}; it has the options: {known}") from None
    return made
