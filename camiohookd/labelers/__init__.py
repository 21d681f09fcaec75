"""Labelers: the pictures of an event → detections.

`onnx` runs a model that `model` describes and whose outputs `decoders` read; `own_code` asks a script or a program of
the owner's; `remote` asks inference servers on other machines. `chain` asks several labelers, one after another.
`taught` is what the owner taught with a few pictures, as the last labeler of the `chain`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from camiohookd.config.detail import Detail
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture


class ChangedRegions(NamedTuple):
    """Where a picture differs from the others of its event: `regions`, as fractions of it, the largest change first.

    It is picture number `nth`, from 0, of the `of` pictures that were compared.
    """

    regions: tuple[Box, ...]
    nth: int
    of: int


class Frame(NamedTuple):
    """One picture of an event: as it came, and decoded at the scale that the labeler needs.

    `changes` is None if it was not compared with others.
    """

    picture: Picture
    decoded: Decoded
    changes: ChangedRegions | None = None


def all_steps(steps: int) -> int:
    """Allow all optional steps, because no other event waits."""
    return steps


class LabelRequest(NamedTuple):
    """What is asked of a labeler for some frames of one event.

    `camera` is the camera's name, None if it has none. Detections below `min_probability` (None: the labeler's default)
    may be left out. `waiting_since` is when the event was accepted, by `time.monotonic`; None if nobody waits.
    `detail` is how closely the pictures are looked at, by a labeler that can. `spare` is given a number of optional
    steps and returns how many of them may be taken now; call it before each step. It raises if labeling is given up.
    `found` is what earlier labelers found in each frame, None for the first one. `event` is the event's number, which
    grows from event to event, or None if the pictures belong to no event.
    """

    camera: str | None = None
    min_probability: float | None = None
    waiting_since: float | None = None
    detail: Detail = "whole"
    spare: Callable[[int], int] = all_steps
    found: Sequence[Sequence[Detection]] | None = None
    event: int | None = None


DEFAULT_REQUEST = LabelRequest()


class Looked(NamedTuple):
    """How closely one picture was looked at, besides the whole of it.

    `tiles` are the parts that were looked at on their own, in pixels of the displayed picture, out of `planned` ones.
    `regions` are where the picture differs from the others of its event, in the same pixels; None if not compared.
    """

    tiles: tuple[Box, ...] = ()
    planned: int = 0
    regions: tuple[Box, ...] | None = None


class Findings(NamedTuple):
    """What a labeler found in an event's frames.

    `pictures` are the detections in each frame, in the frames' order, most probable first. `event` are the labels of
    the event as a whole, from a labeler that finds no more than that; None from all others. `device` is what
    found them, as text to show ("": the labeler's device), and `remote` whether that is another machine. `looked` says
    of each frame how closely it was looked at; () if each was looked at as a whole alone. `kept` is what is left of the
    request's `found`, with what was changed in it; None: all of it, unchanged.
    """

    pictures: Sequence[Sequence[Detection]]
    event: Sequence[str] | None = None
    device: str = ""
    remote: bool = False
    looked: Sequence[Looked] = ()
    kept: Sequence[Sequence[Detection]] | None = None


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

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        """Return the width and height in pixels that a decoded picture needs for `request`."""
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


@runtime_checkable
class Concluding(Protocol):
    """A labeler that also decides on the event as a whole, such as whether something changed since the last one."""

    def conclude(self, pictures: Sequence[Sequence[Detection]], request: LabelRequest) -> Sequence[Sequence[Detection]]:
        """Return what was found in all `pictures` of an event, in their order, as it is to be reported.

        It is called once, after all pictures were labeled; after a failure the event may be labeled again.
        """
        ...
