"""`camiohookd label`: print or draw what the daemon would find in picture files and send.

file ──▶ `FileLabeler` ──▶ one row per object │ one JSON object per file
                                          └──▶ annotate ──▶ DIR/name.jpg
"""

import logging
import os
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from camiohookd.cli.label.file_labeler import FileLabeler
from camiohookd.cli.label.output import Drawings, LabeledFile, LabelTable
from camiohookd.cli.label.output import as_json as result_as_json
from camiohookd.cli.settings import settings_without_keys
from camiohookd.config import paths
from camiohookd.config.detail import Detail, Looking
from camiohookd.errors import LabelingError, PictureError
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from camiohookd.config.load import Config
    from camiohookd.config.settings import LabelerSettings
    from camiohookd.labelers import Labeler
    from camiohookd.pictures.decode import PictureLimits

FileResult = LabeledFile | PictureError | LabelingError

_EXPLAINED = 0.25
_EXPLAINED_OF_ALL = 0.01  # a model gives almost every place in the picture some probability


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per picture instead of a table.")
@click.option(
    "--annotate",
    "annotate_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write each picture into DIR as a JPEG with boxes, names and scores drawn on it, and the zones "
    "of the camera's rule. Objects that are left out have a thin box and the reason. DIR is created if needed. Files "
    "of an earlier run are replaced; the given pictures never are.",
)
@click.option(
    "--model",
    metavar="DIR",
    help="Use this model: the folder with its model.toml, or a name under /usr/share/camiohookd/models or "
    "/var/lib/camiohookd/models.  [default: the daemon's labeler]",
)
@click.option(
    "--camera",
    metavar="NAME",
    help="Apply the rule of this camera.  [default: a camera without a name]",
)
@click.option("--explain", is_flag=True, help="Also show objects that are left out, and why; from probability 0.25.")
@click.option("--all", "explain_all", is_flag=True, help="The same as --explain, from probability 0.01.")
@click.option(
    "--event",
    "as_event",
    is_flag=True,
    help="Treat the pictures as one event of a fixed camera, in order of time: look first where they differ.",
)
@click.option(
    "--detail",
    type=click.Choice(get_args(Detail)),
    help="How closely to look at the pictures.  [default: as the daemon does]",
)
@click.argument(
    "pictures", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False)
)
def label(
    as_json: bool,
    annotate_folder: Path | None,
    model: str | None,
    camera: str | None,
    explain: bool,
    explain_all: bool,
    as_event: bool,
    detail: "Detail | None",
    pictures: tuple[Path, ...],
) -> None:
    """Label picture files as the daemon would, without using the daemon or Camio.

    The table has one row per object that is sent, most probable first: file, label, probability from 0 to 1, and
    the box as left, top, right, bottom in pixels from the picture's top left corner. If several objects have the
    same label, Camio gets the most probable one. With several labelers, LABELER (in
    JSON: "labeler") is the one that found the object.

    A JSON object is {"file", "labels" (as sent to Camio), "detections": [{"label", "probability",
    "box": [left, top, right, bottom]}], "ms": {"decode", "infer", "total"}}; with
    --explain each detection also has a "verdict", "labeled_by" says what labeled the picture, and "looked" at which
    tiles of it the labeler looked on their own, of how many planned ones, and where the pictures of an event differ.

    The command uses the daemon's settings for file formats (CAMIOHOOKD_IMAGES_FORMATS='["jpeg", "png", "webp"]'),
    the size of pictures, the labeler and the rules. It reads them from camiohookd.toml in $CONFIGURATION_DIRECTORY
    (default: /etc/camiohookd) if you may read that file, and from CAMIOHOOKD_* variables.

    A picture that cannot be used is reported on standard error. The others are still labeled, and the exit status
    is 1.

    \b
    Examples:
      camiohookd label photo.jpg
      camiohookd label --annotate /tmp/labeled *.jpg
      camiohookd label --camera "front door" --explain --annotate /tmp/labeled photo.jpg
      camiohookd label --event --explain --annotate /tmp/labeled 1.jpg 2.jpg 3.jpg
      camiohookd label --json *.jpg | jq '.labels | keys'
    """
    from msgspec.structs import replace

    from camiohookd import rules
    from camiohookd.config.picture_limits import picture_limits
    from camiohookd.labelers.taught.labels import taught_labels

    explain = explain or explain_all
    settings = settings_without_keys()
    limits = picture_limits(settings.images)
    rule = rules.match(settings.rule, camera)
    wanted = _wanted(settings, model)
    labeler = _open(wanted, state := paths.state_dir(os.environ))
    drawings = Drawings(annotate_folder, pictures, limits, rule.zone) if annotate_folder else None
    table = None if as_json else LabelTable(pictures, explain, labelers=len(wanted) > 1 or bool(taught_labels(state)))
    file_labeler = FileLabeler(
        labeler,
        limits,
        [replace(each, detail=detail or each.detail) for each in settings.rule],
        camera,
        _EXPLAINED_OF_ALL if explain_all else _EXPLAINED if explain else 1.0,
        "the labeler's default" if rule.min_probability is None else "the rule's min_probability",
        Looking(detail or wanted[0].detail),
    )
    events = [pictures] if as_event else [(path,) for path in pictures]
    results = (_labeled(event, file_labeler, limits, drawings, explain=explain) for event in events)
    all_labeled = _print_results(chain.from_iterable(results), table, explain)
    labeler.close()
    if not all_labeled:
        raise click.exceptions.Exit(1)


def _print_results(results: "Iterable[tuple[Path, FileResult]]", table: LabelTable | None, explain: bool) -> bool:
    """Print rows of the table, or JSON without one; return whether all pictures could be labeled."""
    complete = True
    for path, result in results:
        if isinstance(result, LabeledFile):
            click.echo(table.rows(result) if table else result_as_json(result, explain))
        else:
            complete = False
            click.echo(f"{escape(click.format_filename(path))}: {result}", err=True)
    return complete


def _wanted(settings: "Config", model: str | None) -> "Sequence[LabelerSettings]":
    """Return the settings of the labelers to ask: the one of `model`, or the daemon's."""
    from msgspec.structs import replace

    from camiohookd.config.settings import RemoteSettings

    if model:
        return [replace(settings.labeler, kind="onnx", model=model, remote=RemoteSettings(), cameras=("*",))]
    return settings.labelers


def _open(wanted: "Sequence[LabelerSettings]", state: Path) -> "Labeler":
    """Open the labelers with the taught labels of the state folder, each on one thread."""
    from msgspec.structs import replace

    from camiohookd.labelers.open import open_chain
    from camiohookd.labelers.taught.open import with_taught

    if any(each.kind != "onnx" or each.required is False for each in wanted):
        logging.basicConfig(level=logging.INFO, format="%(message)s")  # shows what the owner's code prints
    labeler, _ = open_chain([replace(each, threads=1) for each in wanted], None, lambda _degraded: None)
    return with_taught(labeler, wanted, state)


def _labeled(
    paths: "Sequence[Path]",
    labeler: FileLabeler,
    limits: "PictureLimits",
    drawings: Drawings | None,
    *,
    explain: bool,
) -> "Iterator[tuple[Path, FileResult]]":
    """Label the pictures of one event, and draw what is found; yield a result for each file."""
    files: list[tuple[Path, bytes]] = []
    for path in paths:
        try:
            files.append((path, _read(path, limits)))
        except PictureError as error:
            yield path, error
    if not files:
        return
    try:
        results = labeler.label(files)
    except LabelingError as error:
        yield from ((path, error) for path, _ in files)
        return
    for (path, data), result in zip(files, results, strict=True):
        if isinstance(result, LabeledFile):
            if result.incomplete:
                click.echo(f"{escape(result.file)}: {result.incomplete}", err=True)
            if drawings:
                drawings.write(path, data, result, looked=explain)
        yield path, result


def _read(path: Path, limits: "PictureLimits") -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise PictureError(reason(error, path)) from error
