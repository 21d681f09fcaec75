"""`camiohookd label`: picture files → what the daemon would see and send, as a table, JSON or drawn pictures.

file ──▶ EventLabeler, the daemon's own way ──▶ a row an object │ a JSON object a file
                                             └──▶ annotate ──▶ DIR/name.jpg
"""

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.label_output import Drawings, LabelledFile, Seen, Table
from camiohookd.cli.label_output import as_json as result_as_json
from camiohookd.cli.settings import settings_without_keys
from camiohookd.errors import LabelingError, PictureError
from camiohookd.system.logs import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camiohookd.config.settings import Rule
    from camiohookd.labelers import Labeler
    from camiohookd.pictures.decode import PictureLimits
    from camiohookd.pictures.detections import Detection
    from camiohookd.rules import RuledLabels

_EXPLAINED = 0.25
_EXPLAINED_OF_ALL = 0.01  # a model gives every place of the picture some probability


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a picture and line instead of a table.")
@click.option(
    "--annotate",
    "annotate_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Also write each picture into DIR as a JPEG with boxes, names and scores drawn on it, and the zones "
    "of the camera's rule. What is left out has a thin box with the reason. DIR is created if needed; files of an "
    "earlier run are replaced, the given pictures never are.",
)
@click.option(
    "--model",
    metavar="DIR",
    help="The model: the folder with its model.toml, or a name under /usr/share/camiohookd/models or "
    "/var/lib/camiohookd/models.  [default: the daemon's labeler]",
)
@click.option(
    "--camera",
    metavar="NAME",
    help="As if the pictures came from this camera: which rule holds.  [default: a camera without a name]",
)
@click.option(
    "--explain", is_flag=True, help="Also show what is left out, if its probability is 0.25 or more, and why."
)
@click.option("--all", "explain_all", is_flag=True, help="As --explain, also for probabilities from 0.01 to 0.25.")
@click.argument("pictures", metavar="IMAGE...", nargs=-1, required=True, type=click.Path(path_type=Path))
def label(
    as_json: bool,
    annotate_folder: Path | None,
    model: str | None,
    camera: str | None,
    explain: bool,
    explain_all: bool,
    pictures: tuple[Path, ...],
) -> None:
    """Label picture files on this machine as the daemon would, without the daemon and without Camio.

    The table has a row for each object that is sent, most probable first: file, label, probability from 0 to 1, and
    its box as left, top, right, bottom in pixels, counted from the picture's top left corner. (Of several objects
    with one label Camio gets the most probable.)

    A JSON object is {"file", "labels" (in the form that Camio gets), "detections": [{"label", "probability",
    "box": [left, top, right, bottom]}], "ms": {"decode", "infer", "total"}}; with
    --explain each detection also has a "verdict".

    The daemon's settings hold here too, from camiohookd.toml in $CONFIGURATION_DIRECTORY (else in /etc/camiohookd) if
    you may read it and from CAMIOHOOKD_* variables: which file formats are opened
    (CAMIOHOOKD_IMAGES_FORMATS='["jpeg", "png", "webp"]'), how large a picture may be, the labeler and the rules.

    A picture that cannot be used costs a line on standard error; the others are labelled all the same, and the exit
    status is 1.

    \b
    Examples:
      camiohookd label photo.jpg
      camiohookd label --annotate /tmp/labelled *.jpg
      camiohookd label --camera "front door" --explain --annotate /tmp/labelled photo.jpg
      camiohookd label --json *.jpg | jq '.labels | keys'
    """
    from msgspec.structs import replace

    from camiohookd import rules
    from camiohookd.labelers.open import open_labeler
    from camiohookd.pictures.decode import PictureLimits

    explain = explain or explain_all
    settings = settings_without_keys()
    images = settings.images
    limits = PictureLimits(images.formats, images.max_pixels, images.max_bytes, images.max_decoded_bytes)
    rule = rules.match(settings.rule, camera)
    wanted = replace(settings.labeler, kind="onnx", model=model) if model else settings.labeler
    if wanted.kind != "onnx":
        logging.basicConfig(level=logging.INFO, format="%(message)s")  # what code of the owner's prints
    labeler, _ = open_labeler(replace(wanted, threads=1), None, lambda _degraded: None)
    drawings = Drawings(annotate_folder, pictures, limits, rule.zone) if annotate_folder else None
    table = None if as_json else Table(pictures, explain)
    lowest = _EXPLAINED_OF_ALL if explain_all else _EXPLAINED if explain else 1.0
    default = "the rule's min_probability" if rule.min_probability is not None else "the labeler's default"
    file_labeler = _FileLabeler(labeler, limits, settings.rule, camera, lowest, default)
    failed = False
    for path in pictures:
        try:
            data = _read(path, limits)
            result = file_labeler.label(path, data)
            if result.incomplete:
                click.echo(f"{escape(result.file)}: {result.incomplete}", err=True)
            if drawings:
                drawings.write(path, data, result.seen)
        except (PictureError, LabelingError) as error:
            failed = True
            click.echo(f"{escape(click.format_filename(path))}: {error}", err=True)
        else:
            click.echo(table.rows(result) if table else result_as_json(result, explain))
    labeler.close()
    if failed:
        raise click.exceptions.Exit(1)


def _read(path: Path, limits: "PictureLimits") -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limits.max_bytes + 1)
    except OSError as error:
        raise PictureError(error.strerror) from error


class _FileLabeler:
    """Labels files the daemon's own way, as pictures of one camera.

    What has a probability of `lowest` or more is found even if the rule leaves it out. `whose_threshold` names where
    the least probability comes from that holds for labels without their own.
    """

    def __init__(
        self,
        labeler: "Labeler",
        limits: "PictureLimits",
        table: "Sequence[Rule]",
        camera: str | None,
        lowest: float,
        whose_threshold: str,
    ) -> None:
        from camiohookd.metrics import Metrics
        from camiohookd.worker.event_labeler import EventLabeler

        self._events = EventLabeler(labeler, limits, table, Metrics())
        self._camera = camera
        self._lowest = lowest
        self._whose_threshold = whose_threshold

    def label(self, path: Path, data: bytes) -> LabelledFile:
        """Raises PictureError, LabelingError."""
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
        """Return the rule's reason; of a threshold also whose it is."""
        from camiohookd import rules

        reason = rules.objection(rule, found, picture.width, picture.height)
        if reason is None or reason != rules.below(rule, found):
            return reason
        whose = "min_probability_of" if found.label in rule.min_probability_of else self._whose_threshold
        return f"{reason} ({whose})"
