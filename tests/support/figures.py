"""What tests and benchmarks make of measured numbers."""

from collections.abc import Sequence


def percentile(figures: Sequence[float], share: float) -> float:
    """Return the percentile `share` (0 to 1)."""
    ordered = sorted(figures)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
