"""Count durations in bins, from which the quantiles of any interval can be computed.

The upper bound of a bin is 1.25 times its lower one, so that its geometric middle is at most 12 % off."""

import math
from collections.abc import Mapping

Histogram = dict[int, int]
"""The number of durations in each bin."""

_LEAST = 0.001
_GROWTH = 1.25
_LAST_BIN = 110  # 1.5 years
_LONGEST = 1e9


def bin_of(seconds: float) -> int:
    """Return the bin of a duration: bin n > 0 begins at 0.001 s * 1.25 ** n."""
    if not seconds > _LEAST:
        return 0
    return min(int(math.log(min(seconds, _LONGEST) / _LEAST) / math.log(_GROWTH)), _LAST_BIN)


def count(histogram: Histogram, seconds: float) -> None:
    """Add one duration."""
    number = bin_of(seconds)
    histogram[number] = histogram.get(number, 0) + 1


def merge(into: Histogram, other: Mapping[int, int]) -> None:
    """Add the durations of `other`."""
    for number, amount in other.items():
        into[number] = into.get(number, 0) + amount


def coarser(histogram: Mapping[int, int]) -> Histogram:
    """Return the histogram with half as many bins: add each second bin to its lower neighbor."""
    bins = sorted(histogram)
    return {low: sum(histogram[each] for each in bins[nth : nth + 2]) for nth, low in enumerate(bins) if nth % 2 == 0}


def quantile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return the quantile `share` (0 to 1) in seconds, at most 12 % off; None without durations."""
    total = sum(histogram.values())
    seen = 0
    for number, amount in sorted(histogram.items()):
        seen += amount
        if seen >= share * total and amount:
            middle: float = _LEAST * _GROWTH ** (number + 0.5)
            return middle
    return None
