"""The reply to an event, and its JSON: labels by image, or one flat list for the event."""

from typing import Literal

import msgspec

_encoder = msgspec.json.Encoder()


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


def encode_reply(reply: Reply) -> bytes:
    """Return `reply` as compact JSON (PROTOCOL.md, section 2), with a ``polygon`` for every label."""
    return _encoder.encode({"status": reply.status, "labels": reply.labels})
