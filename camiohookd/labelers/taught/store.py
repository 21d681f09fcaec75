"""One file for what was taught under a name, in the folder ``taught`` of the state folder.

    <state>/taught/gate.taught      "camiohookd taught 1 SHA-256", a line end, the data

The data is MessagePack (https://github.com/msgpack/msgpack/blob/master/spec.md). The checksum is that of the data. A
later version adds fields with defaults; the number in the first line changes when an older one could not read it.
"""

import hashlib
import re
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from camiohookd.labelers.taught.learning import Learned
from camiohookd.labelers.taught.places import TaughtError, check_name, path_of
from camiohookd.labelers.taught.regression import Weights
from camiohookd.labelers.taught.report import Report
from camiohookd.system.disk import Disk, replace_file
from camiohookd.system.permissions import give_to_owner_of, reason

MAX_BYTES = 64_000_000
MAX_LABELS = 20
MAX_PICTURES = 2000
MAX_LABEL_LENGTH = 200

Reports = Literal["state", "changed", "both"]

_HEAD = re.compile(rb"camiohookd taught (\d{1,9}) ([0-9a-f]{64})")
_VERSION = 1


class TaughtZone(msgspec.Struct, frozen=True):
    """A part of a camera's picture. `camera` is a camera's name; `polygon` are corners in fractions, y down."""

    camera: str
    name: str
    polygon: tuple[tuple[float, float], ...]


class KeptCrop(msgspec.Struct, frozen=True):
    """An example as it was shown, to be learned again: a JPEG, and the box in it that counts, in its pixels."""

    source: str
    label: int
    event: str
    jpeg: bytes
    box: tuple[float, float, float, float]


class Taught(msgspec.Struct, frozen=True, kw_only=True):
    """What was taught under one name: the state of a `zone`, or kinds of objects that are detected `on` a label.

    `model` is the checksum of the model and `tensors` are those whose averages are the features. `factors` are floats
    [features, labels], `examples` half floats [variations, features]; both little-endian. `report` is how well it was
    learned. `steady`: a zone's state counts when so many events in a row show it. `reports`: "state" is the state's
    label in every event; "changed" is that label and the label "NAME changed", in an event in which it changes; or
    "both". `size` is the usual width and height of a zone in the examples, in pixels; (0, 0) for objects. `crops` are
    empty if they may not be kept. `made` is seconds since 1970.
    """

    name: str
    labels: tuple[str, ...]
    zone: TaughtZone | None
    on: str | None
    model: str
    tensors: tuple[str, ...]
    factors: bytes
    shifts: tuple[float, ...]
    temperature: float
    examples: bytes
    farthest: float
    report: Report
    made: float
    flip: bool = False
    steady: int = 1
    reports: Reports = "state"
    size: tuple[float, float] = (0.0, 0.0)
    crops: tuple[KeptCrop, ...] = ()

    @property
    def changed_label(self) -> str:
        """The label that reports a change of the zone's state."""
        return f"{self.name} changed"

    def learned(self) -> Learned:
        """Return the classifier. Raises TaughtError if the arrays' sizes do not match or a number is not finite."""
        count = len(self.labels)
        try:
            factors = np.frombuffer(self.factors, "<f4").reshape(-1, count)
            examples = np.frombuffer(self.examples, "<f2").reshape(-1, max(len(factors), 1))
        except ValueError:
            factors = examples = np.empty((0, 0), np.float32)
        if not len(factors) or len(self.shifts) != count:
            raise TaughtError(
                f'what was taught as "{self.name}" is damaged: the sizes of its arrays do not match; teach it again'
            )
        weights = Weights(factors.astype(float), np.array(self.shifts))
        if not all(np.isfinite(each).all() for each in (*weights, examples, self.farthest)):
            raise TaughtError(
                f'what was taught as "{self.name}" is damaged: its numbers are not finite; teach it again'
            )
        return Learned(weights, self.temperature, examples.astype(float), self.farthest)


def check_labels(labels: tuple[str, ...]) -> None:
    """Check that the labels can be told apart and sent. Raises TaughtError."""
    if not 2 <= len(set(labels)) == len(labels) <= MAX_LABELS:
        raise TaughtError(f"expected 2 to {MAX_LABELS} different labels, given {len(set(labels))}")
    for label in labels:
        if not label.strip() or len(label) > MAX_LABEL_LENGTH:
            raise TaughtError(f'"{label[:40]}" cannot be a label: expected 1 to {MAX_LABEL_LENGTH} characters')


def encode(taught: Taught) -> bytes:
    """Return a file's bytes."""
    data = msgspec.msgpack.encode(taught)
    return b"camiohookd taught %d %s\n%s" % (_VERSION, hashlib.sha256(data).hexdigest().encode(), data)


def decode(data: bytes, name: str) -> Taught:
    """Return what is in a file's bytes; `name` is the file's in errors. Raises TaughtError."""
    head, _, body = data.partition(b"\n")
    found = _HEAD.fullmatch(head)
    if found is None:
        raise TaughtError(f"{name}: this is not a file of taught labels, or its beginning is damaged")
    if int(found[1]) > _VERSION:
        raise TaughtError(f"{name}: a later version of camiohookd wrote it (format {int(found[1])}); update this one")
    if hashlib.sha256(body).hexdigest().encode() != found[2]:
        raise TaughtError(f"{name}: its checksum does not match: the file is cut off or damaged; teach it again")
    try:
        taught = msgspec.msgpack.decode(body, type=Taught)
        check_name(taught.name)
        check_labels(taught.labels)
        taught.learned()
    except (msgspec.MsgspecError, TaughtError) as error:
        raise TaughtError(f"{name}: {error}") from None
    if (taught.zone is None) == (taught.on is None):
        raise TaughtError(f"{name}: expected either a zone or a label that it refines")
    corners = taught.zone.polygon if taught.zone else ((0.0, 0.0),) * 3
    if len(corners) < 3 or not all(0 <= value <= 1 for corner in corners for value in corner):
        raise TaughtError(f"{name}: its zone is not a polygon of at least three points with coordinates from 0 to 1")
    return taught


def read(path: Path) -> Taught:
    """Read a file. Raises TaughtError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise TaughtError(f"{path}: cannot be read: {reason(error, path)}") from error
    if len(data) > MAX_BYTES:
        raise TaughtError(f"{path}: larger than {MAX_BYTES} bytes: this is not a file of taught labels")
    return decode(data, str(path))


def save(state: Path, taught: Taught) -> Path:
    """Write the file, completely or not at all, and return its path; it belongs to the state folder's owner.

    Raises TaughtError.
    """
    path = path_of(state, taught.name)
    data = encode(taught)
    if len(data) > MAX_BYTES:
        raise TaughtError(f"{path}: would be larger than {MAX_BYTES} bytes; teach with fewer or smaller pictures")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            give_to_owner_of(state, path.parent)
        replace_file(Disk(), path, data)
        give_to_owner_of(state, path)
    except OSError as error:
        raise TaughtError(f"{path}: cannot be written: {reason(error, path)}") from error
    return path


def remove(state: Path, name: str) -> None:
    """Delete the file of `name`. Raises TaughtError."""
    path = path_of(state, name)
    try:
        path.unlink()
    except FileNotFoundError:
        raise TaughtError(f'nothing was taught as "{name}"; "camiohookd taught" lists the names') from None
    except OSError as error:
        raise TaughtError(f"{path}: cannot be deleted: {reason(error, path)}") from error
