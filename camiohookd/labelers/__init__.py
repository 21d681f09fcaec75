"""Labelers: the pictures of an event → detections.

`onnx` runs a model that `model` describes and whose outputs `decoders` read; `own_code` asks a script or a program of
the owner's.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection
from camiohookd.wire.images import Picture


class Frame(NamedTuple):
    """One picture of an event: as it came, and decoded at the scale that the labeler needs."""

    picture: Picture
    decoded: Decoded


class LabelRequest(NamedTuple):
    """What is asked of a labeler for some frames of one event.

    `camera` is the camera's name, None if it has none. Detections below `min_probability` (None: the labeler's default)
    may be left out. `waiting_since` is when the event was accepted, by `time.monotonic`; None if nobody waits.
    """

    camera: str | None = None
    min_probability: float | None = None
    waiting_since: float | None = None


DEFAULT_REQUEST = LabelRequest()


class Findings(NamedTuple):
    """What a labeler found in an event's frames.

    `pictures` are the detections in each frame, in the frames' order, most probable first. `event` are the labels of
    the event as a whole, from a labeler that finds no more than that; None from all others. `device` is what
    found them, as text to show ("": the labeler's device), and `remote` whether that is another machine.
    """

    pictures: Sequence[Sequence[Detection]]
    event: Sequence[str] | None = None
    device: str = ""
    remote: bool = False


class Labeler(Protocol):
    """Finds objects in pictures. The threads of the label pool call it, several at a time."""

    @property
    def device(self) -> str:
        """What it runs on at present, as text to show."""
        ...

    @property
    def input_size(self) -> tuple[int, int]:
        """Width and height in pixels that a picture is scaled to."""
        ...

    @property
    def at_once(self) -> int | None:
        """The most frames in a call of `label`; None: all frames of an event, in one call."""
        ...

    @property
    def default_probability(self) -> float:
        """The least probability to report if no rule sets one, 0 to 1."""
        ...

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        """Find objects in frames of one event; boxes are in pixels of the displayed picture in full.

        Raises LabelingError or LabelerDown.
        """
        ...

    def close(self) -> None:
        """Stop everything it has started; do not call `label` afterwards."""
        ...
