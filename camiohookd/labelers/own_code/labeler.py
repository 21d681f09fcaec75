"""Labels from the owner's own code: an event's frames ─▶ a request ─▶ `Program` ─▶ its checked answer ─▶ findings.

`python_child` runs a script's `compute_labels` and answers for it; a command answers itself.
"""

import sys
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec

from camiohookd.errors import LabelerDown, LabelerError, LabelingError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.own_code.process import Program
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection, Polygon
from camiohookd.system.permissions import reason

HELPER = Path(__file__).with_name("python_child.py")
MAX_LABEL = 200
MAX_ERROR = 1000

_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
_TYPES = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}


class _ChildReply(msgspec.Struct):
    """The answer of the program; `where` is the place of the function that returned `labels`.

    `detections` is what the program leaves of the request's, a list for each image; None: all of it.
    """

    labels: Any = None
    error: str | None = None
    where: str | None = None
    detections: Any = None


class _ChildDetection(msgspec.Struct):
    label: str
    probability: _Fraction
    box: tuple[float, float, float, float] | None = None


class _ChildLabel(msgspec.Struct):
    probability: _Fraction
    polygon: tuple[tuple[_Fraction, _Fraction], ...] = ()


def open_script(script: str, interpreter: str, deadline: float) -> "OwnCode":
    """Return a labeler that calls the `compute_labels` of `script`, run by `interpreter` (empty: this one).

    Raises LabelerError if the script cannot be loaded.
    """
    try:
        with Path(script).open("rb"):
            pass
    except OSError as error:
        raise LabelerError(f"labeler.script: {script}: cannot be read: {reason(error, script)}") from None
    return _opened([interpreter or sys.executable, str(HELPER), str(Path(script).resolve())], script, deadline)


def open_command(command: Sequence[str], deadline: float) -> "OwnCode":
    """Return a labeler that asks the program `command` (with its arguments). Raises LabelerError if it is silent."""
    if not command:
        raise LabelerError(
            'labeler.command is empty; write the program and its arguments, such as ["/opt/labels", "-v"]'
        )
    return _opened(command, command[0], deadline)


def _opened(argv: Sequence[str], name: str, deadline: float) -> "OwnCode":
    labeler = OwnCode(argv, name, deadline)
    try:
        labeler.start()
    except LabelerDown as error:
        labeler.close()
        raise LabelerError(f"the labeler does not start: {error}") from None
    return labeler


class OwnCode:
    """Labels whole events, one at a time, even if several threads call."""

    at_once = None
    default_probability = 0.0
    input_size = (1, 1)  # own code decodes the file itself; here it is only checked

    def __init__(self, argv: Sequence[str], name: str, deadline: float) -> None:
        self._name = name
        self.device = f"own code ({name})"
        # The probe after each start is an event without pictures, which has no labels.
        self._program = Program(argv, name, deadline, _request([]), lambda answer: self._findings(answer, [], None))

    def start(self) -> None:
        """Raises LabelerDown."""
        self._program.start()

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:  # noqa: ARG002  # as above, whatever is asked
        return self.input_size

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        return self._findings(self._program.ask(_request(frames, request.found)), frames, request.found)

    def close(self) -> None:
        self._program.close()

    def _findings(
        self, data: bytes, frames: Sequence[Frame], earlier: Sequence[Sequence[Detection]] | None
    ) -> Findings:
        """Raises LabelingError."""
        try:
            answer = msgspec.json.decode(data, type=_ChildReply)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise LabelingError(f"{self._name}: its answer cannot be read: {error}") from None
        if answer.error is not None:
            raise LabelingError(" ".join(answer.error.split())[:MAX_ERROR])
        try:
            if earlier is None:
                return findings_of(answer.labels, frames)
            return findings_of({} if answer.labels is None else answer.labels, frames)._replace(
                kept=None if answer.detections is None else kept_of(answer.detections, earlier)
            )
        except ValueError as error:
            raise LabelingError(f"{answer.where or self._name}: {error}") from None


def _request(frames: Sequence[Frame], earlier: Sequence[Sequence[Detection]] | None = None) -> bytes:
    images = [_described(frame) for frame in frames]
    for image, found in zip(images, earlier or (), strict=earlier is not None):
        image["detections"] = [as_sent(each) for each in found]
    return msgspec.json.encode({"images": images})


def _described(frame: Frame) -> dict[str, Any]:
    """Return an image as Camio sends it, with the optional fields; a damaged file is sent repaired."""
    return {
        "timestamp": frame.picture.timestamp,
        "image_b64": b64encode(frame.decoded.file).decode(),
        "type": _TYPES.get(frame.decoded.file[:2], "application/octet-stream"),
        "size": [frame.decoded.width, frame.decoded.height],
    }


def as_sent(found: Detection) -> dict[str, Any]:
    """Return a detection as own code gets it; the box is left, top, right, bottom in pixels of the picture."""
    return {"label": found.label, "probability": found.probability, "box": found.box and list(found.box)}


def kept_of(given: Any, earlier: Sequence[Sequence[Detection]]) -> list[list[Detection]]:
    """Check and convert what an answer leaves of `earlier`, a list for each picture.

    Raises ValueError, which says what is wrong.
    """
    if not isinstance(given, list) or len(given) != len(earlier):
        raise ValueError(f"detections: expected a list of {len(earlier)} lists, one for each image")
    return [_kept_of_picture(nth, each, earlier[nth]) for nth, each in enumerate(given)]


def _kept_of_picture(nth: int, given: Any, earlier: Sequence[Detection]) -> list[Detection]:
    """Return the detections that are left in a picture; those that are as they were sent keep everything else."""
    if not isinstance(given, list):
        raise ValueError(f"detections[{nth}] is {_kind(given)}, expected a list")
    left = list(earlier)
    kept = []
    for number, value in enumerate(given):
        place = f"detections[{nth}][{number}]"
        try:
            changed = msgspec.convert(value, _ChildDetection)
        except msgspec.ValidationError as error:
            what, _, where = str(error).partition(" - at `$")
            raise ValueError(f"{place}{where.rstrip('`')}: {what[0].lower()}{what[1:]}") from None
        box = Box(*changed.box) if changed.box is not None else None
        if box is not None and not (box.left <= box.right and box.top <= box.bottom):
            raise ValueError(f"{place}.box: expected left, top, right, bottom in pixels")
        found = Detection(_name(changed.label, place), changed.probability, box)
        same = next((each for each in left if each[:3] == found[:3]), None)
        if same is not None:
            left.remove(same)
        kept.append(same or found)
    return kept


def findings_of(labels: Any, frames: Sequence[Frame]) -> Findings:
    """Check and convert `labels`. Raises ValueError, which says what is wrong."""
    if isinstance(labels, list):
        return Findings([[] for _ in frames], [_name(label, f"labels[{nth}]") for nth, label in enumerate(labels)])
    if not isinstance(labels, dict):
        raise ValueError(f"the labels are {_kind(labels)}, expected a dict by timestamp or a list of labels")
    pictures: list[list[Detection]] = [[] for _ in frames]
    by_timestamp = {frame.picture.timestamp: nth for nth, frame in reversed(list(enumerate(frames)))}
    for timestamp, found in labels.items():
        if timestamp not in by_timestamp:
            raise ValueError(f"labels[{timestamp!r}]: no image of this event has that timestamp")
        if not isinstance(found, dict):
            raise ValueError(f"labels[{timestamp!r}] is {_kind(found)}, expected a dict by label")
        nth = by_timestamp[timestamp]
        detections = [_detection(timestamp, label, value, frames[nth].decoded) for label, value in found.items()]
        pictures[nth] = sorted(detections, key=lambda each: -each.probability)
    return Findings(pictures)


def _detection(timestamp: str, name: str, value: Any, picture: Decoded) -> Detection:
    place = f"labels[{timestamp!r}][{name!r}]"
    try:
        found = msgspec.convert(value, _ChildLabel)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")  # of "Expected `float` <= 1.0 - at `$.probability`"
        raise ValueError(f"{place}{where.rstrip('`')}: {what[0].lower()}{what[1:]}") from None
    if len(found.polygon) in (1, 2):
        raise ValueError(f"{place}: a polygon has at least three points, or none")
    return Detection(_name(name, place), found.probability, _box(found.polygon, picture), found.polygon)


def _box(polygon: Polygon, picture: Decoded) -> Box | None:
    """Return the smallest box around the polygon."""
    if not polygon:
        return None
    xs, ys = zip(*polygon, strict=True)
    return Box(
        min(xs) * picture.width,
        (1 - max(ys)) * picture.height,
        max(xs) * picture.width,
        (1 - min(ys)) * picture.height,
    )


def _name(label: Any, place: str) -> str:
    if not isinstance(label, str) or not label or len(label) > MAX_LABEL:
        raise ValueError(f"{place}: a label is a text of 1 to {MAX_LABEL} letters, given {str(label)[:50]!r}")
    return label


def _kind(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
