"""`camiohookd label`: print or draw what the daemon would find in picture files and send.

file ──▶ EventLabeler, as in the daemon ──▶ one row per object │ one JSON object per file
                                          └──▶ annotate ──▶ DIR/name.jpg
"""

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.label_output import Drawings, LabelledFile, LabelTable, Seen
from camiohookd.cli.label_output import as_json as result_as_json
from camiohookd.cli.settings import settings_without_keys
from camiohookd.config import paths
from camiohookd.errors import LabelingError, PictureError
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camiohookd.config.detail import Detail
    from camiohookd.config.rule import Rule
    from camiohookd.labelers import Labeler
    from camiohookd.pictures.decode import PictureLimits
    from camiohookd.pictures.detections import Detection
    from camiohookd.rules import RuledLabels

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
    pictures: tuple[Path, ...],
) -> None:
    """Label picture files as the daemon would, without using the daemon or Camio.

    The table has one row per object that is sent, most probable first: file, label, probability from 0 to 1, and
    the box as left, top, right, bottom in pixels from the picture's top left corner. If several objects have the
    same label, Camio gets the most probable one. With several labelers, LABELER is the one that found the object.

    A JSON object is {"file", "labels" (as sent to Camio), "detections": [{"label", "probability",
    "box": [left, top, right, bottom]}], "ms": {"decode", "infer", "total"}}; with
    --explain each detection also has a "verdict", and "labeled_by" says what labeled the picture.

    The command uses the daemon's settings for file formats (CAMIOHOOKD_IMAGES_FORMATS='["jpeg", "png", "webp"]'),
    the size of pictures, the labeler and the rules. It reads them from camiohookd.toml in $CONFIGURATION_DIRECTORY
    (default: /etc/camiohookd) if you may read that file, and from CAMIOHOOKD_* variables.

    A picture that cannot be used is reported on standard error. The others are still labeled, and the exit status
    is 1.

    \b
    Examples:
      camiohookd label photo.jpg
      camiohookd label --annotate /tmp/labelled *.jpg
      camiohookd label --camera "front door" --explain --annotate /tmp/labelled photo.jpg
      camiohookd label --json *.jpg | jq '.labels | keys'
    """
    from msgspec.structs import replace

    from camiohookd import rules
    from camiohookd.config.settings import RemoteSettings
    from camiohookd.labelers.open import open_chain
    from camiohookd.labelers.taught.open import with_taught
    from camiohookd.pictures.decode import PictureLimits

    explain = explain or explain_all
    settings = settings_without_keys()
    images = settings.images
    limits = PictureLimits(images.formats, images.max_pixels, images.max_bytes, images.max_decoded_bytes)
    rule = rules.match(settings.rule, camera)
    alone = replace(settings.labeler, kind="onnx", model=model or "-", remote=RemoteSettings())
    wanted = (alone,) if model else settings.labelers
    if any(each.kind != "onnx" or each.required is False for each in wanted):
        logging.basicConfig(level=logging.INFO, format="%(message)s")  # shows what the owner's code prints
    labeler, _ = open_chain([replace(each, threads=1) for each in wanted], None, lambda _degraded: None)
    labeler = with_taught(labeler, wanted, paths.state_dir(os.environ))
    drawings = Drawings(annotate_folder, pictures, limits, rule.zone) if annotate_folder else None
    table = None if as_json else LabelTable(pictures, explain, labelers=len(wanted) > 1)
    lowest = _EXPLAINED_OF_ALL if explain_all else _EXPLAINED if explain else 1.0
    default = "the rule's min_probability" if rule.min_probability is not None else "the labeler's default"
    file_labeler = _FileLabeler(labeler, limits, settings.rule, camera, lowest, default, wanted[0].detail)
    failed = False
    for path in pictures:
        try:
            result = _label_file(path, file_labeler, limits, drawings)
        except (PictureError, LabelingError) as error:
            failed = True
            click.echo(f"{escape(click.format_filename(path))}: {error}", err=True)
        else:
            click.echo(table.rows(result) if table else result_as_json(result, explain))
    labeler.close()
    if failed:
        raise click.exceptions.Exit(1)


def _label_file(
    path: Path, labeler: "_FileLabeler", limits: "PictureLimits", drawings: Drawings | None
) -> LabelledFile:
    """Label the picture in a file, and draw what is found. Raises PictureError, LabelingError."""
    data = _read(path, limits)
    result = labeler.label(path, data)
    if result.incomplete:
        click.echo(f"{escape(result.file)}: {result.incomplete}", err=True)
    if drawings:
        drawings.write(path, data, result.seen)
    return result


def _read(path: Path, limits: "PictureLimits") -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise PictureError(reason(error, path)) from error


class _FileLabeler:
    """Labels files with the daemon's code, as pictures of one camera.

    Objects with probability `lowest` or more are found even if the rule leaves them out. `whose_threshold` names the
    setting whose threshold applies to labels without their own.
    """

    def __init__(
        self,
        labeler: "Labeler",
        limits: "PictureLimits",
        table: "Sequence[Rule]",
        camera: str | None,
        lowest: float,
        whose_threshold: str,
        detail: "Detail",
    ) -> None:
        from camiohookd.config.detail import Looking
        from camiohookd.metrics import Metrics
        from camiohookd.worker.event_labeler import EventLabeler

        self._events = EventLabeler(labeler, limits, table, Metrics(), Looking(detail))
        self._camera = camera
        self._lowest = lowest
        self._whose_threshold = whose_threshold

    def label(self, path: Path, data: bytes) -> LabelledFile:
        """Label the picture in `data`; raise PictureError or LabelingError."""
        from camiohookd.pictures.detections import Detection
        from camiohookd.wire.images import Picture

        start = time.perf_counter()
        event = self._events.event(self._camera, lambda: [Picture(path.name, data)], lambda: None, self._lowest)
        event.join()
        outcome = event.done.result()
        total = time.perf_counter() - start
        if outcome.reply is None:
            raise PictureError(outcome.rejected[0].removeprefix(f"{path.name}: "))
        [picture] = outcome.pictures
        if outcome.event is not None:
            picture = picture._replace(found=[Detection(name, 1.0, None) for name in outcome.event])
        labels = outcome.reply.labels
        return LabelledFile(
            click.format_filename(path),
            labels[path.name] if isinstance(labels, dict) else labels,
            self._seen(picture),
            decode_ms=round(1000 * outcome.decode_seconds, 1),
            infer_ms=round(1000 * outcome.label_seconds, 1),
            total_ms=round(1000 * total, 1),
            device=outcome.device,
            incomplete=outcome.incomplete[0].removeprefix(f"{path.name}: ") if outcome.incomplete else None,
        )

    def _seen(self, picture: "RuledLabels") -> list[Seen]:
        from camiohookd import rules

        rule = self._events.rule_for(self._camera)
        return [
            Seen(
                found,
                rules.sent_as(rule, found.label),
                self._why_left_out(rule, found, picture),
            )
            for found in picture.found
        ]

    def _why_left_out(self, rule: "Rule", found: "Detection", picture: "RuledLabels") -> str | None:
        """Return why the rule leaves `found` out, with the setting of a threshold; None if it is sent."""
        from camiohookd import rules

        reason = rules.objection(rule, found, picture.width, picture.height)
        if reason is None or reason != rules.below(rule, found):
            return reason
        whose = "min_probability_of" if found.label in rule.min_probability_of else self._whose_threshold
        return f"{reason} ({whose})"
