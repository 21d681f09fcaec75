"""Show a labeled picture: `LabeledFile` → rows of a table, a JSON object or a drawn picture."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from camiohookd.errors import CamiohookdError
from camiohookd.rules import ALWAYS_THERE
from camiohookd.system.logs import escape
from camiohookd.units import plural

if TYPE_CHECKING:
    from camiohookd.config.rule import Zone
    from camiohookd.labelers import Looked
    from camiohookd.pictures.decode import PictureLimits
    from camiohookd.pictures.detections import Box, Detection
    from camiohookd.wire.reply import Label

_JPEG_SUFFIXES = {".jpg", ".jpeg"}
_ROW = "{file:<{width}}  {label:<16}  {probability:>11}  {box:<22}  {labeler}{verdict}"
_LABELER = "{:<25}  "


class SeenObject(NamedTuple):
    """One object: the detection, its label in the reply, and why it is left out (None: it is sent)."""

    found: "Detection"
    sent_as: str
    left_out: str | None = None

    @property
    def sent(self) -> "Detection":
        return self.found._replace(label=self.sent_as)


@dataclass(frozen=True, slots=True)
class LabeledFile:
    """One labeled picture; times are in milliseconds, `total_ms` from the file's bytes to the detections."""

    file: str
    labels: "dict[str, Label] | list[str]"
    seen: list[SeenObject]
    decode_ms: float
    infer_ms: float
    total_ms: float
    incomplete: str | None = None
    """Says how much of the picture is missing; None if it is complete."""
    device: str = ""
    """What labeled it: a device of this machine, or an inference server."""
    looked: "Looked | None" = None
    """How closely it was looked at."""

    @property
    def sent(self) -> "list[Detection]":
        return [each.sent for each in self.seen if each.left_out is None]


class LabelTable:
    """Formats rows. The first column fits the longest file name, so that a row can be printed before the next is known.

    With `verdicts`, objects that are left out have rows, too, and each row says whether the object is sent and why not.
    With `labelers`, each row says which labeler found the object.
    """

    def __init__(self, pictures: Iterable[Path], verdicts: bool, *, labelers: bool = False) -> None:
        self._verdicts = verdicts
        self._labelers = labelers
        self._width = max(len(escape(click.format_filename(path))) for path in pictures)
        self._has_header = False

    def rows(self, result: LabeledFile) -> str:
        """Return the rows of one picture; before the very first ones, the header."""
        rows = self._rows(result)
        if self._verdicts and result.device:
            how = f", {_how_closely(result.looked)}" if result.looked else ""
            rows += f"\n{self._row(result.file, f'(labeled by {escape(result.device)}{how})')}"
        if self._has_header:
            return rows
        self._has_header = True
        header = self._row("FILE", "LABEL", "PROBABILITY", "BOX", "RESULT" if self._verdicts else "", "LABELER")
        return f"{header}\n{rows}"

    def _rows(self, result: LabeledFile) -> str:
        shown = result.seen if self._verdicts else [each for each in result.seen if each.left_out is None]
        if not shown:
            return self._row(result.file, "(nothing found)")
        return "\n".join(self._seen(result.file, each) for each in shown)

    def _seen(self, file: str, seen: SeenObject) -> str:
        found = seen.found if self._verdicts else seen.sent
        sides = ", ".join(f"{side:.0f}" for side in found.box or ())
        verdict = _verdict(seen) if self._verdicts else ""
        return self._row(file, found.label, f"{found.probability:.2f}", sides, verdict, found.labeler or "")

    def _row(
        self, file: str, label: str, probability: str = "", box: str = "", verdict: str = "", labeler: str = ""
    ) -> str:
        return _ROW.format(
            file=escape(file),
            width=self._width,
            label=escape(label),
            probability=probability,
            box=box,
            labeler=_LABELER.format(escape(labeler)) if self._labelers else "",
            verdict=verdict,
        ).rstrip()


class Drawings:
    """Writes annotated pictures into `folder` under the pictures' names, with a number if two have the same name."""

    def __init__(
        self, folder: Path, pictures: Iterable[Path], limits: "PictureLimits", zones: "Iterable[Zone]"
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._zones = zones
        self._taken = {path.resolve() for path in pictures}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CamiohookdError(f"cannot create the folder {folder}: {error.strerror}") from error

    def write(self, path: Path, data: bytes, result: LabeledFile, *, looked: bool) -> None:
        """Write the picture of `path`, whose bytes are `data`, with what was seen in it.

        With `looked`, also the tiles that were looked at, and the regions that differ. Raises CamiohookdError.
        """
        from camiohookd.cli.label.annotate import annotate
        from camiohookd.pictures.decode import decode

        target = self._free(path)
        try:
            drawn = annotate(
                decode(data, self._limits, None).image,
                result.sent,
                self._zones,
                [(each.found, each.left_out) for each in result.seen if each.left_out is not None],
                result.looked if looked else None,
            )
            drawn.save(target, "JPEG", quality=92)
        except OSError as error:
            raise CamiohookdError(f"cannot write {target}: {error.strerror or error}") from error

    def _free(self, path: Path) -> Path:
        name = path.name if path.suffix.lower() in _JPEG_SUFFIXES else f"{path.name}.jpg"
        target = self._folder.resolve() / name
        stem, number = target.stem, 1
        while target in self._taken:
            number += 1
            target = target.with_stem(f"{stem}-{number}")
        self._taken.add(target)
        return target


def _how_closely(looked: "Looked") -> str:
    """Return in words how closely a picture was looked at."""
    how = "as a whole"
    if looked.planned:
        how += f" and in {len(looked.tiles)} of {plural(looked.planned, 'tile')}"
    if looked.regions is not None:
        how += f"; it differs from the others in {plural(len(looked.regions), 'region')}"
    return how


def _boxes(boxes: "Iterable[Box]") -> list[list[float]]:
    return [[round(side, 1) for side in box] for box in boxes]


def _verdict(seen: SeenObject) -> str:
    if seen.left_out is not None:
        return f"left out: {seen.left_out}"
    kept = "kept" if seen.sent_as == seen.found.label else f"kept as {seen.sent_as}"
    return f"{kept}, {ALWAYS_THERE}" if seen.found.always_there else kept


def as_json(result: LabeledFile, verdicts: bool) -> bytes:
    """Return one line of JSON; with `verdicts` also objects that are left out, and a `verdict` for each."""
    import msgspec

    if verdicts:
        detections = [_described(each.found) | {"verdict": _verdict(each)} for each in result.seen]
    else:
        detections = [_described(found) for found in result.sent]
    how: dict[str, Any] = {"labeled_by": result.device} if verdicts else {}
    if verdicts and result.looked:
        tiles, planned, regions = result.looked
        changed = None if regions is None else _boxes(regions)
        how["looked"] = {"tiles": _boxes(tiles), "planned": planned, "changed": changed}
    return msgspec.json.encode(
        {
            "file": result.file,
            "labels": result.labels,
            "detections": detections,
            "ms": {"decode": result.decode_ms, "infer": result.infer_ms, "total": result.total_ms},
        }
        | how
    )


def _described(found: "Detection") -> dict[str, Any]:
    return {
        "label": found.label,
        "probability": round(found.probability, 4),
        "box": [round(side, 1) for side in found.box or ()],
    } | ({"labeler": found.labeler} if found.labeler else {})
