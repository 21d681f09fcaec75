"""What labels pictures: the pictures of an event → detections.

`onnx` runs a model that `model` describes and whose outputs `decoders` understands; `own` asks a script or a program of
the owner's.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection
from camiohookd.wire.images import Picture


class Frame(NamedTuple):
    """One picture of an event: its file, and its pixels as far as the labeler wants to see them."""

    picture: Picture
    decoded: Decoded


class Findings(NamedTuple):
    """`pictures` holds what is in each frame, in their order, most probable first; `event` the labels of the event as
    a whole, from a labeler that tells no more than that, and None from all others."""

    pictures: Sequence[Sequence[Detection]]
    event: Sequence[str] | None = None


class Labeler(Protocol):
    """Finds objects in pictures. The threads of the label pool call it, several at a time."""

    @property
    def device(self) -> str:
        """What it runs on at present, for people."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height in pixels that a picture is scaled to; more detail than that is not looked at."""
        ...

    @property
    def at_once(self) -> int | None:
        """The most frames that a call may have; None: those of a whole event."""
        ...

    @property
    def default_probability(self) -> float:
        """What is less probable is not worth reporting, unless somebody says otherwise."""
        ...

    def label(self, frames: Sequence[Frame], min_probability: float | None = None) -> Findings:
        """What is in the frames; boxes in pixels of the displayed picture in full.

        What is less probable than `min_probability` (None: than the default one) is left out, if that saves work.
        Raises `errors.LabelingError`.
        """
        ...

    def close(self) -> None:
        """End what it has started; nothing is labelled afterwards."""
        ...
