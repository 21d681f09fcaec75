"""What all benchmarks share: contestants take turns, and the medians of their rounds become results.

    contestants ─▶ `alternate`, a round each in turn ─▶ medians ─▶ `Result` ─▶ a table and a JSON file

A shared machine is noisy, for everything that runs on it. So only figures measured in turns, in one run, are compared.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

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
    """One row. `ratio` is `value` over `baseline`, in the same unit. `met` is None if there is no bound."""

    name: str
    metric: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    must: float | None = None
    goal: float | None = None
    met: bool | None = None


def result(
    name: str, metric: str, value: float, unit: str, *, baseline: float | None = None, target: Target | None = None
) -> Result:
    """Compare a figure with its baseline and its bounds."""
    ratio = None if baseline is None else value / baseline if baseline else float("inf")
    if target is None:
        return Result(name, metric, value, unit, baseline, ratio)
    met = target.met_by(value if ratio is None else ratio)
    return Result(name, metric, value, unit, baseline, ratio, target.must, target.goal, met)


def at_least(must: float, goal: float) -> Target:
    return Target(must, goal)


def at_most(must: float, goal: float) -> Target:
    return Target(must, goal, at_most=True)


def alternate(contestants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS) -> dict[str, float]:
    """Return the median of each over rounds in which they take turns; the order changes from round to round."""
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    names = list(contestants)
    for number in range(rounds):
        for name in names if number % 2 == 0 else reversed(names):
            figures[name].append(contestants[name]())
    return {name: statistics.median(found) for name, found in figures.items()}


HEADINGS = ("name", "metric", "value", "baseline", "ratio", "must", "goal", "met")


def table(results: Sequence[Result], *, markdown: bool = False) -> str:
    """Return the results as a table for a terminal, or in Markdown."""
    rows = [HEADINGS, *(_cells(each) for each in results)]
    if markdown:
        rows.insert(1, ("---",) * len(HEADINGS))
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
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
