"""Count the numbers of the last hour, day and week: by the minute, and for the week by ten minutes.

    occurrences ─▶ the current minute ─▶ ring of a day's minutes ─▶ ring of a week's ten minutes ─▶ `Trends`

After the clock jumps there is a gap, or a minute counts twice. A crash loses the current minute.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from camiohookd.monitoring.activity import (
    DeliveryTried,
    EventAccepted,
    EventDone,
    EventFailed,
    EventLabeled,
    Occurrence,
)
from camiohookd.monitoring.history import quantiles
from camiohookd.monitoring.history.buckets import OTHERS, Bucket
from camiohookd.monitoring.history.quantiles import Histogram
from camiohookd.monitoring.history.records import sent_labels
from camiohookd.monitoring.history.ring import Ring
from camiohookd.monitoring.history.views import Span, Trends
from camiohookd.system.log_fields import about

MINUTE, TEN = 60, 600
_IN_TEN = TEN // MINUTE
MINUTES = 24 * 60
TENS = 7 * 24 * 6
MOST_LABELS = 8
"""Labels with a curve of their own."""

_LATEST = 2**40
"""Seconds since 1970; a later time can only be an error."""

Value = TypeVar("Value")

log = logging.getLogger("camiohookd.history")


class _Shape(NamedTuple):
    """How many buckets a curve covers, and how many of them make one point."""

    buckets: int
    together: int


_SHAPES: Mapping[Span, _Shape] = {
    "hour": _Shape(60, 1),
    "day": _Shape(MINUTES, 5),
    "week": _Shape(TENS, 3),
}


class Sample(NamedTuple):
    """The state at one moment: how many events wait, the labeler's device, and whether it is a fallback."""

    depth: int
    device: str
    degraded: bool


class TrendRecorder:
    """Keeps the numbers in `folder`. Belongs to one thread."""

    def __init__(self, folder: Path) -> None:
        self._minutes = Ring(folder / "minutes.ring", MINUTES)
        self._tens = Ring(folder / "tens.ring", TENS)
        self._current: Bucket | None = None
        self._summed_up: int | None = None  # the last interval of ten minutes that its ring has
        self._refused = False

    @property
    def written(self) -> int:
        """Return the bytes written since the start."""
        return self._minutes.written + self._tens.written

    def now(self, at: float) -> Bucket:
        """Return the minute to count in. When a new one begins, the last one is written first."""
        number = min(max(int(at), 0), _LATEST) // MINUTE
        if self._current is None or self._current.number != number:
            self.save()
            self._current = self._minutes.read(number) or Bucket(number)
            self._sum_up(number // _IN_TEN)
        return self._current

    def sample(self, at: float, state: Sample) -> None:
        """Record the state. Call this several times a minute: a minute without a sample counts as no service."""
        bucket = self.now(at)
        bucket.depth = max(bucket.depth, state.depth)
        bucket.device, bucket.degraded = state.device, state.degraded

    def save(self) -> None:
        """Write the current minute."""
        if self._current is not None:
            self._write(self._minutes, self._current)

    def read(self, span: Span, at: float) -> Trends:
        """Return the numbers of the last hour, day or week until `at`."""
        count, together = _SHAPES[span]
        minute = self.now(at).number
        if span == "week":
            size, until, found = TEN, minute // _IN_TEN, self._tens.last(minute // _IN_TEN, count)
            if running := self._ten(until):
                found[until] = running
        else:
            size, until, found = MINUTE, minute, self._minutes.last(minute, count)
            found[minute] = self.now(at)
        return _trends(size, together, until, count, found)

    def _sum_up(self, running: int) -> None:
        """Write the intervals of ten minutes that ended since the last call, at first those that a crash lost."""
        first = running - MINUTES // _IN_TEN + 1 if self._summed_up is None else self._summed_up + 1
        if not running - MINUTES // _IN_TEN < first <= running:
            first = running - 1  # the clock jumped
        for number in range(max(first, 0), running):
            is_missing = self._summed_up is not None or self._tens.read(number) is None
            if is_missing and (ten := self._ten(number)):
                self._write(self._tens, ten)
        self._summed_up = running - 1

    def _ten(self, number: int) -> Bucket | None:
        """Return the sum of an interval of ten minutes; None if none of its minutes is kept."""
        last = (number + 1) * _IN_TEN - 1
        minutes = self._minutes.last(last, _IN_TEN)
        if self._current is not None and self._current.number // _IN_TEN == number:
            minutes[self._current.number] = self._current
        return _sum(number, (minutes[each] for each in sorted(minutes)))

    def _write(self, ring: Ring, bucket: Bucket) -> None:
        try:
            ring.write(bucket)
        except OSError as error:
            if not self._refused:
                log.warning("cannot keep the numbers of the trends: %s", error, extra=about("trends_not_kept"))
            self._refused = True
        else:
            self._refused = False


def count(bucket: Bucket, occurrence: Occurrence) -> None:
    """Count an occurrence in the minute in which it was reported."""
    match occurrence:
        case EventAccepted():
            bucket.accepted += 1
        case EventLabeled():
            bucket.labelled += 1
            bucket.pictures += len(occurrence.pictures)
            quantiles.count(bucket.wait, occurrence.wait_seconds)
            quantiles.count(bucket.label, occurrence.label_seconds)
            for name, _ in sent_labels(occurrence):
                bucket.count_label(name)
        case DeliveryTried():
            quantiles.count(bucket.delivery, occurrence.seconds)
        case EventDone():
            bucket.delivered += 1
            quantiles.count(bucket.total, occurrence.seconds)
        case EventFailed():
            bucket.failed += 1


def _sum(number: int, parts: Iterable[Bucket]) -> Bucket | None:
    whole = None
    for part in parts:
        whole = whole or Bucket(number)
        whole.add(part)
    return whole


def _trends(size: int, together: int, until: int, count: int, found: Mapping[int, Bucket]) -> Trends:
    last = until // together
    points = range(last - count // together + 1, last + 1)
    whole = [
        _sum(point, (found[each] for each in range(point * together, (point + 1) * together) if each in found))
        for point in points
    ]
    quantile = partial(_quantile, whole)
    return Trends(
        step=size * together,
        times=tuple(point * size * together for point in points),
        accepted=_each(whole, lambda bucket: bucket.accepted),
        labelled=_each(whole, lambda bucket: bucket.labelled),
        delivered=_each(whole, lambda bucket: bucket.delivered),
        failed=_each(whole, lambda bucket: bucket.failed),
        pictures=_each(whole, lambda bucket: bucket.pictures),
        depth=_each(whole, lambda bucket: bucket.depth),
        wait_p50=quantile(lambda bucket: bucket.wait, 0.5),
        wait_p95=quantile(lambda bucket: bucket.wait, 0.95),
        label_p50=quantile(lambda bucket: bucket.label, 0.5),
        label_p95=quantile(lambda bucket: bucket.label, 0.95),
        delivery_p50=quantile(lambda bucket: bucket.delivery, 0.5),
        delivery_p95=quantile(lambda bucket: bucket.delivery, 0.95),
        total_p50=quantile(lambda bucket: bucket.total, 0.5),
        total_p95=quantile(lambda bucket: bucket.total, 0.95),
        labels=_labels(whole),
        device=_each(whole, lambda bucket: bucket.device or None),
        degraded=_each(whole, lambda bucket: bucket.degraded),
    )


def _each(whole: Sequence[Bucket | None], value: Callable[[Bucket], Value]) -> tuple[Value | None, ...]:
    return tuple(None if bucket is None else value(bucket) for bucket in whole)


def _quantile(
    whole: Sequence[Bucket | None], histogram: Callable[[Bucket], Histogram], share: float
) -> tuple[float | None, ...]:
    return tuple(None if bucket is None else quantiles.quantile(histogram(bucket), share) for bucket in whole)


def _labels(whole: Sequence[Bucket | None]) -> dict[str, tuple[int | None, ...]]:
    """Return a curve for each of the most frequent labels, most frequent first, and one for the sum of the others."""
    sums: Counter[str] = Counter()
    for bucket in whole:
        sums.update(bucket.labels if bucket else {})
    del sums[OTHERS]
    named = [name for name, _ in sums.most_common(MOST_LABELS)]
    curves = {name: _each(whole, partial(_count, name)) for name in named}
    others = _each(whole, lambda bucket: sum(n for name, n in bucket.labels.items() if name not in curves))
    return {**curves, OTHERS: others} if any(others) else curves


def _count(name: str, bucket: Bucket) -> int:
    return bucket.labels.get(name, 0)
