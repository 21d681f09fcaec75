"""`camiohookd label`: picture files → what the model sees in them, as a table, JSON or drawn pictures.

file ──▶ images.decode ──▶ labeler.detect ──▶ a row a detection │ a JSON object a file
                                      └─────▶ annotate ──▶ DIR/name.jpg
"""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.errors import CamiohookdError, LabelingError, PictureError
from camiohookd.systemd import escape

if TYPE_CHECKING:
    from camiohookd.config import Config
    from camiohookd.detections import Detection
    from camiohookd.images import Decoded, Limits
    from camiohookd.labelers import Labeler

_JPEG_SUFFIXES = {".jpg", ".jpeg"}
_ROW = "{file:<{width}}  {label:<16}  {probability:>11}  {box}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture and line instead of a table.")
@click.option(
    "--annotate",
    "annotate_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write each picture into DIR as a JPEG with boxes, names and scores drawn on it. DIR is made if it is "
    "not there; what an earlier run left in it is replaced, the pictures given here never are.",
)
@click.option(
    "--model",
    metavar="DIR",
    help="The model: the folder with its model.toml, or a name under /usr/share/camiohookd/models or "
    "/var/lib/camiohookd/models.  [default: the daemon's, ssdlite-mobilenet-v2-coco]",
)
@click.argument("pictures", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def label(as_json: bool, annotate_folder: Path | None, model: str | None, pictures: tuple[Path, ...]) -> None:
    """Label picture files on this machine, without the daemon and without Camio.

    The table has a row for each object found, most probable first: file, label, probability from 0 to 1, and its box
    as left, top, right, bottom in pixels, counted from the picture's top left corner.

    A JSON object is {"file", "labels" (in the form that Camio gets), "detections": [{"label", "probability",
    "box": [left, top, right, bottom]}], "ms": {"decode", "infer", "total"}}.

    The daemon's settings hold here too, from camiohookd.toml in $CONFIGURATION_DIRECTORY (else in /etc/camiohookd) if
    you may read it and from CAMIOHOOKD_* variables: which file formats are opened
    (CAMIOHOOKD_IMAGES_FORMATS='["jpeg", "png", "webp"]'), how large a picture may be, and which model is used.

    A picture that cannot be used costs a line on standard error; the others are labelled all the same, and the exit
    status is 1.

    \b
    Examples:
      camiohookd label photo.jpg
      camiohookd label --annotate /tmp/labelled *.jpg
      camiohookd label --json *.jpg | jq '.labels | keys'
    """
    from camiohookd.images import Limits
    from camiohookd.labelers.model import find
    from camiohookd.labelers.onnx.labeler import open_onnx

    settings = _settings()
    limits = Limits(settings.images.formats, settings.images.max_pixels, settings.images.max_bytes)
    labeler = open_onnx(find(model or settings.labeler.model))
    drawings = _Drawings(annotate_folder, pictures, limits) if annotate_folder else None
    table = None if as_json else _Table(pictures)
    failed = False
    for path in pictures:
        try:
            data = _read(path, limits)
            result = _label(path, data, labeler, limits)
            if drawings:
                drawings.write(path, data, result.detections)
        except (PictureError, LabelingError) as error:
            failed = True
            click.echo(f"{escape(click.format_filename(path))}: {error}", err=True)
        else:
            click.echo(table.rows(result) if table else _as_json(result))
    if failed:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True, slots=True)
class _Result:
    """One labelled picture; times in milliseconds, `total_ms` from the file's bytes to the detections."""

    file: str
    picture: "Decoded"
    detections: "list[Detection]"
    decode_ms: float
    infer_ms: float
    total_ms: float


class _Table:
    """Rows as wide as the longest file name needs, so that each picture's can be printed when it is done."""

    def __init__(self, pictures: Iterable[Path]) -> None:
        self._width = max(len(escape(click.format_filename(path))) for path in pictures)
        click.echo(self._row("FILE", "LABEL", "PROBABILITY", "BOX"))

    def rows(self, result: _Result) -> str:
        if not result.detections:
            return self._row(result.file, "(nothing found)", "", "")
        return "\n".join(
            self._row(
                result.file,
                found.label,
                f"{found.probability:.2f}",
                ", ".join(f"{side:.0f}" for side in found.box or ()),
            )
            for found in result.detections
        )

    def _row(self, file: str, label: str, probability: str, box: str) -> str:
        row = _ROW.format(file=escape(file), width=self._width, label=label, probability=probability, box=box)
        return row.rstrip()


class _Drawings:
    """Where annotated pictures go: under the picture's own name, numbered where two have the same."""

    def __init__(self, folder: Path, pictures: Iterable[Path], limits: "Limits") -> None:
        self._folder = folder
        self._limits = limits
        self._taken = {path.resolve() for path in pictures}
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CamiohookdError(f"cannot make the folder {folder}: {error.strerror}") from error

    def write(self, path: Path, data: bytes, detections: "list[Detection]") -> None:
        from camiohookd.annotate import annotate
        from camiohookd.images import decode

        target = self._free(path)
        try:
            annotate(decode(data, self._limits, None).image, detections).save(target, "JPEG", quality=92)
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


def _settings() -> "Config":
    from camiohookd import config

    # The file holds the key, so that not everybody may read it; labelling a picture does not need the key.
    file = config.config_file(os.environ)
    hidden = file.exists() and not os.access(file, os.R_OK)
    return config.load(Path(os.devnull) if hidden else None, os.environ)


def _read(path: Path, limits: "Limits") -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise PictureError(error.strerror) from error


def _label(path: Path, data: bytes, labeler: "Labeler", limits: "Limits") -> _Result:
    from camiohookd.images import decode
    from camiohookd.labelers import Frame
    from camiohookd.payload import Picture

    start = time.perf_counter()
    picture = decode(data, limits, labeler.input_size)
    decoded = time.perf_counter()
    frame = Frame(Picture(path.name, data), picture)
    detections = list(labeler.label([frame]).pictures[0])
    end = time.perf_counter()
    milliseconds = (round(1000 * seconds, 1) for seconds in (decoded - start, end - decoded, end - start))
    return _Result(click.format_filename(path), picture, detections, *milliseconds)


def _as_json(result: _Result) -> bytes:
    import msgspec

    from camiohookd.rules import image_labels

    return msgspec.json.encode(
        {
            "file": result.file,
            "labels": image_labels(result.detections, result.picture.width, result.picture.height),
            "detections": [
                {
                    "label": found.label,
                    "probability": round(found.probability, 4),
                    "box": [round(side, 1) for side in found.box or ()],
                }
                for found in result.detections
            ],
            "ms": {"decode": result.decode_ms, "infer": result.infer_ms, "total": result.total_ms},
        }
    )
