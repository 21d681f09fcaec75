"""Label picture files with the daemon's code: files as pictures of one camera → `EventLabeler` → `LabeledFile`."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.label.output import LabeledFile, SeenObject
from camiohookd.errors import PictureError

if TYPE_CHECKING:
    from camiohookd.config.detail import Looking
    from camiohookd.config.rule import Rule
    from camiohookd.labelers import Labeler
    from camiohookd.pictures.decode import PictureLimits
    from camiohookd.pictures.detections import Detection
    from camiohookd.rules import RuledLabels
    from camiohookd.worker.event_labels import EventLabels


class FileLabeler:
    """Labels files as pictures of one camera.

    Objects with probability `lowest` or more are found even if the rule leaves them out. `threshold_setting` names the
    setting whose threshold applies to labels without their own.
    """

    def __init__(
        self,
        labeler: "Labeler",
        limits: "PictureLimits",
        table: "Sequence[Rule]",
        camera: str | None,
        lowest: float,
        threshold_setting: str,
        looking: "Looking",
    ) -> None:
        from camiohookd.monitoring.metrics import Metrics
        from camiohookd.worker.event_labeler import EventLabeler

        self._events = EventLabeler(labeler, limits, table, Metrics(), looking)
        self._camera = camera
        self._lowest = lowest
        self._threshold_setting = threshold_setting

    def label(self, files: Sequence[tuple[Path, bytes]]) -> list[LabeledFile | PictureError]:
        """Label files, given with their bytes, as the pictures of one event; return a result for each.

        Raises LabelingError.
        """
        from camiohookd.wire.images import Picture

        names = _unique_names([path for path, _ in files])
        pictures = [Picture(name, data) for name, (_, data) in zip(names, files, strict=True)]
        start = time.perf_counter()
        event = self._events.event(self._camera, lambda: pictures, lambda: None, self._lowest)
        event.join()
        outcome = event.done.result()
        total = time.perf_counter() - start
        places = {picture.timestamp: nth for nth, picture in enumerate(outcome.pictures)}
        return [
            self._result(path, name, places[name], outcome, total / len(files))
            if name in places
            else PictureError(_text_about(name, outcome.rejected) or "not labeled")
            for name, (path, _) in zip(names, files, strict=True)
        ]

    def _result(self, path: Path, name: str, nth: int, outcome: "EventLabels", seconds: float) -> LabeledFile:
        from camiohookd.pictures.detections import Detection

        assert outcome.reply is not None, "there is a picture"
        picture, labels, count = outcome.pictures[nth], outcome.reply.labels, len(outcome.pictures)
        if outcome.event is not None:
            picture = picture._replace(found=[Detection(each, 1.0, None) for each in outcome.event])
        return LabeledFile(
            click.format_filename(path),
            labels[name] if isinstance(labels, dict) else labels,
            self._seen(picture),
            decode_ms=round(1000 * outcome.decode_seconds / count, 1),
            infer_ms=round(1000 * outcome.label_seconds / count, 1),
            total_ms=round(1000 * seconds, 1),
            device=outcome.device,
            incomplete=_text_about(name, outcome.incomplete),
            looked=outcome.looked[nth],
        )

    def _seen(self, picture: "RuledLabels") -> list[SeenObject]:
        from camiohookd import rules

        rule = self._events.rule_for(self._camera)
        return [
            SeenObject(
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
        whose = "min_probability_of" if found.label in rule.min_probability_of else self._threshold_setting
        return f"{reason} ({whose})"


def _unique_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file that no other one has."""
    counts = Counter(path.name for path in paths)
    return [path.name if counts[path.name] == 1 else f"{path.name} ({nth})" for nth, path in enumerate(paths, 1)]


def _text_about(name: str, sentences: Sequence[str]) -> str | None:
    """Return what one of `sentences`, each "name: what", says of `name`."""
    return next((each.removeprefix(f"{name}: ") for each in sentences if each.startswith(f"{name}: ")), None)
