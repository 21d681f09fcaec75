"""The reply to an event, and its JSON: labels by image, or one flat list for the event."""

from typing import Literal

import msgspec

_encoder = msgspec.json.Encoder()

_NAMED = 5
_MAX_NAME = 40


class Label(msgspec.Struct, frozen=True):
    """`probability` 0..1; `polygon` as (x, y) fractions of the image, (0, 0) the bottom-left corner, y up."""

    probability: float
    polygon: tuple[tuple[float, float], ...] = ()


ImageLabels = dict[str, dict[str, Label]]
"""timestamp → label → `Label`: the form ``labels_format = "image"``."""


LabelsFormat = Literal["image", "event"]


class Reply(msgspec.Struct, frozen=True):
    """What is posted back: labels by image, or (the older form) a flat list for the whole event."""

    labels: ImageLabels | list[str]
    status: Literal["success"] = "success"


def best_labels(reply: Reply) -> dict[str, float | None]:
    """Return each label with its best probability, the most probable first; None in the older form."""
    if isinstance(reply.labels, list):
        return dict.fromkeys(reply.labels)
    best: dict[str, float | None] = {}
    found = [item for labels in reply.labels.values() for item in labels.items()]
    for name, label in sorted(found, key=lambda item: -item[1].probability):
        best.setdefault(name, label.probability)
    return best


def summary(reply: Reply) -> str:
    """Return the labels in a few words: ``person 0.92, car 0.71 and 3 more``, each with its best probability.

    At most five labels are named, and names are cut, so that the text is short for any result.
    """
    words = [_cut(name) if value is None else f"{_cut(name)} {value:.2f}" for name, value in best_labels(reply).items()]
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return (", ".join(words[:_NAMED]) or "nothing found") + more


def _cut(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}..."


def encode_reply(reply: Reply) -> bytes:
    """Return `reply` as compact JSON (PROTOCOL.md, section 2), with a ``polygon`` for every label."""
    return _encoder.encode({"status": reply.status, "labels": reply.labels})
