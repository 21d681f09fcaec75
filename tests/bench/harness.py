"""What all benchmarks share: contestants take turns, and the medians of their rounds become results.

    contestants ─▶ `alternate`, a round each in turn ─▶ medians ─▶ `Result` ─▶ a table and a JSON file

A shared machine is noisy, for everything that runs on it. So only figures measured in turns, in one run, are compared.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import msgspec

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Bench:
    """One run: `folder` is for files, `quick` only checks that everything works, `minutes` is the length of soak."""

    folder: Path
    quick: bool = False
    minutes: float = 1.0

    def scaled(self, full: float, quick: float) -> float:
        return quick if self.quick else full

    def count(self, full: int, quick: int) -> int:
        return quick if self.quick else full

    def place(self, name: str) -> Path:
        """Return a new folder."""
        path = self.folder / name
        path.mkdir()
        return path


class Median(float):
    """The median of several rounds, or another figure of them all, which remembers them."""

    rounds: tuple[float, ...]

    def __new__(cls, rounds: Iterable[float], figure: float | None = None) -> Self:
        """Return the median of `rounds`, of which there is at least one; or `figure`, of what was measured in them."""
        found = tuple(rounds)
        self = super().__new__(cls, statistics.median(found) if figure is None else figure)
        self.rounds = found
        return self


class Benchmark(Protocol):
    """A module of this folder that yields each result as soon as it is measured."""

    def run(self, bench: Bench) -> Iterator["Result"]: ...


class Target(msgspec.Struct, frozen=True):
    """The bounds of a ratio, or of a value without a baseline."""

    must: float | None
    goal: float
    at_most: bool = False

    def met_by(self, figure: float) -> bool | None:
        if self.must is None:
            return None
        return figure <= self.must if self.at_most else figure >= self.must


class Result(msgspec.Struct, frozen=True):
    """One row. `ratio` is `value` over `baseline`, in the same unit. `met` is None if there is no bound.

    `low` and `high` are the least and the greatest figure of the rounds: of the ratio if there is one, otherwise of the
    value; None if there was one round only. `less_is_better` is None if there is no bound.
    """

    name: str
    metric: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    must: float | None = None
    goal: float | None = None
    met: bool | None = None
    low: float | None = None
    high: float | None = None
    less_is_better: bool | None = None

    @property
    def figure(self) -> float:
        """What the bounds are for: the ratio, or the value where there is no baseline."""
        return self.value if self.ratio is None else self.ratio


def result(
    name: str, metric: str, value: float, unit: str, *, baseline: float | None = None, target: Target | None = None
) -> Result:
    """Compare a figure with its baseline and its bounds."""
    ratio = None if baseline is None else value / baseline if baseline else float("inf")
    low, high = _spread(value, baseline)
    value, baseline = float(value), None if baseline is None else float(baseline)
    if target is None:
        return Result(name, metric, value, unit, baseline, ratio, low=low, high=high)
    met = target.met_by(value if ratio is None else ratio)
    return Result(name, metric, value, unit, baseline, ratio, target.must, target.goal, met, low, high, target.at_most)


def _spread(value: float, baseline: float | None) -> tuple[float | None, float | None]:
    """Return the least and the greatest of the rounds; a round's ratio is to the baseline in the same round."""
    if not isinstance(value, Median) or not (baseline is None or isinstance(baseline, Median)):
        return None, None
    figures = value.rounds
    if baseline is not None:
        figures = tuple(ours / other for ours, other in zip(value.rounds, baseline.rounds, strict=True) if other)
    return min(figures, default=None), max(figures, default=None)


def at_least(must: float, goal: float) -> Target:
    return Target(must, goal)


def at_most(must: float, goal: float) -> Target:
    return Target(must, goal, at_most=True)


def alternate(contestants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, Median]:
    """Return the median of each over rounds in which they take turns; the order changes from round to round."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            figures[name].append(contestants[name]())
    return {name: Median(found) for name, found in figures.items()}


HEADINGS = ("name", "metric", "value", "baseline", "ratio", "must", "goal", "met")


def table(results: Sequence[Result], *, markdown: bool = False) -> str:
    """Return the results as a table for a terminal, or in Markdown."""
    rows = [HEADINGS, *(_cells(each) for each in results)]
    if markdown:
        rows.insert(1, ("---",) * len(HEADINGS))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return in_columns(rows)


def in_columns(rows: Sequence[tuple[str, ...]]) -> str:
    """Return rows of equal length as lines with columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _cells(each: Result) -> tuple[str, ...]:
    return (
        each.name,
        each.metric,
        f"{number(each.value)} {each.unit}",
        "" if each.baseline is None else f"{number(each.baseline)} {each.unit}",
        *("" if figure is None else number(figure) for figure in (each.ratio, each.must, each.goal)),
        "" if each.met is None else "yes" if each.met else "NO",
    )


def number(value: float) -> str:
    """Format with three significant digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
