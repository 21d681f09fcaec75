"""Count what happened in an interval of one or ten minutes, in a record that fits a slot of a `Ring`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from camiohookd.monitoring.history import quantiles
from camiohookd.monitoring.history.quantiles import Histogram

CONTENT_BYTES = 1012
"""What fits a slot of a `Ring`: 1024 bytes without its head."""

MAX_LABELS = 16
MAX_NAME = 40
OTHERS = ""
"""The name under which all labels beyond the bound are counted."""

_HISTOGRAMS = ("wait", "label", "delivery", "total")


class Bucket(msgspec.Struct, array_like=True):
    """The numbers of one interval. Later versions add fields at the end, with defaults.

    `number` counts intervals since 1970. `depth` is the most events that waited. `labels` counts events with each
    label. The histograms are of seconds: the wait in the queue, labeling, one try to deliver, and acceptance to
    delivery.
    """

    number: int
    accepted: int = 0
    labelled: int = 0
    delivered: int = 0
    failed: int = 0
    pictures: int = 0
    depth: int = 0
    device: str = ""
    degraded: bool = False
    labels: dict[str, int] = {}
    wait: Histogram = {}
    label: Histogram = {}
    delivery: Histogram = {}
    total: Histogram = {}

    def count_label(self, name: str) -> None:
        """Count an event that has this label."""
        name = name[:MAX_NAME]
        if name not in self.labels and len(self.labels) >= MAX_LABELS:
            name = OTHERS
        self.labels[name] = self.labels.get(name, 0) + 1

    def add(self, later: "Bucket") -> None:
        """Add what happened in a later interval, or later in this one."""
        self.accepted += later.accepted
        self.labelled += later.labelled
        self.delivered += later.delivered
        self.failed += later.failed
        self.pictures += later.pictures
        self.depth = max(self.depth, later.depth)
        self.device = later.device or self.device
        self.degraded = later.degraded
        for name, count in later.labels.items():
            self.labels[name] = self.labels.get(name, 0) + count
        for name in _HISTOGRAMS:
            quantiles.merge(getattr(self, name), getattr(later, name))


_decoder = msgspec.msgpack.Decoder(Bucket)


def decode(content: bytes) -> Bucket:
    """Return the bucket that `encode` wrote. Raises ValueError."""
    try:
        return _decoder.decode(content)
    except msgspec.MsgspecError as error:
        raise ValueError(f"this is not a bucket: {error}") from error


def encode(bucket: Bucket) -> bytes:
    """Return at most `CONTENT_BYTES`; if needed, move rare labels to `OTHERS` and use coarser histograms."""
    labels = _fewer(bucket.labels, MAX_LABELS)
    fitting = msgspec.structs.replace(bucket, labels=labels, device=bucket.device[:MAX_NAME])
    while len(content := msgspec.msgpack.encode(fitting)) > CONTENT_BYTES:
        fields: dict[str, Any] = {name: quantiles.coarser(getattr(fitting, name)) for name in _HISTOGRAMS}
        fitting = msgspec.structs.replace(
            fitting, labels=_fewer(fitting.labels, len(fitting.labels) // 2 + 1), **fields
        )
    return content


def _fewer(labels: Mapping[str, int], most: int) -> dict[str, int]:
    """Return at most `most` labels: the most frequent ones, and the sum of the rest as `OTHERS`."""
    if len(labels) <= most:
        return dict(labels)
    ordered = sorted((item for item in labels.items() if item[0] != OTHERS), key=lambda item: -item[1])
    kept = dict(ordered[: most - 1])
    return {**kept, OTHERS: sum(labels.values()) - sum(kept.values())}
