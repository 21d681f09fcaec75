"""The result of labeling one event."""

from collections.abc import Sequence
from dataclasses import dataclass

from camiohookd import rules
from camiohookd.config.rule import Rule
from camiohookd.labelers import Looked
from camiohookd.pictures.detections import Detection
from camiohookd.wire.reply import Reply

MAX_NAMED = 10
"""Most labels in one line of the log."""

MAX_FILES_BYTES = 4_000_000
"""Most bytes of an event's files in memory until its reply is stored, which takes long on a full disk."""


@dataclass(frozen=True, slots=True)
class EventLabels:
    """The result for an event; `reply` is None when no picture could be used.

    `rejected` says why single pictures were left out, `incomplete` how much of a damaged picture could be decoded.
    `event` are the labels of the event as a whole, None if the labeler tells what is in each picture. The seconds are
    sums over all pictures. `rule` was applied to the `pictures`; `files` are their files' bytes, b"" for those over
    `MAX_FILES_BYTES`. `device` is what labeled the pictures, as text to show. `looked` says of each picture how closely
    it was looked at.
    """

    rule: Rule
    reply: Reply | None
    pictures: tuple[rules.RuledLabels, ...]
    files: tuple[bytes, ...]
    rejected: tuple[str, ...]
    incomplete: tuple[str, ...]
    event: tuple[str, ...] | None
    decode_seconds: float
    label_seconds: float
    device: str
    looked: tuple[Looked, ...] = ()

    @property
    def tiles(self) -> int:
        """Return how many tiles of the pictures were looked at."""
        return sum(len(each.tiles) for each in self.looked)

    @property
    def planned_tiles(self) -> int:
        """Return how many tiles would have been looked at if no other event had waited."""
        return sum(each.planned for each in self.looked)

    @property
    def objects(self) -> int:
        return sum(len(picture.sent) for picture in self.pictures)

    def summary(self) -> str:
        """Return the labels that are sent, most probable first, e.g. ``person 0.92, car 0.71``.

        Where there are several labelers, each label is followed by its one: ``beagle 0.81 (breeds)``.
        """
        best: dict[str, Detection] = {}
        for picture in self.pictures:
            for found in picture.sent:
                if found.label not in best or found.probability > best[found.label].probability:
                    best[found.label] = found
        moving = {found.label for picture in self.pictures for found in picture.sent if not found.always_there}
        names = [
            _named(found, found.label in moving)
            for found in sorted(best.values(), key=lambda found: -found.probability)
        ]
        if self.event is not None and self.reply is not None:
            names = list(self.reply.labels)
        more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
        return ", ".join(names[:MAX_NAMED]) + more or "nothing"


def _named(found: Detection, moves: bool) -> str:
    by = f" ({found.labeler})" if found.labeler else ""
    always = "" if moves else f" ({rules.ALWAYS_THERE})"
    return f"{found.label} {found.probability:.2f}{by}{always}"


def kept_files(pictures: Sequence[rules.RuledLabels], files: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the files that are handed on, those with the most probable labels first."""
    room, kept = MAX_FILES_BYTES, [b""] * len(files)
    for nth in sorted(range(len(files)), key=lambda nth: -_best(pictures[nth])):
        if len(files[nth]) <= room:
            room -= len(files[nth])
            kept[nth] = files[nth]
    return tuple(kept)


def _best(picture: rules.RuledLabels) -> float:
    return max((found.probability for found in picture.sent), default=0.0)
