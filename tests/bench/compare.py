"""Compare this run with an earlier one, row by row: is a difference larger than the spread of the rounds?"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from tests.bench.harness import Result, in_columns, number

HEADINGS = ("name", "metric", "before", "spread", "now", "spread", "change", "")


class Machine(msgspec.Struct, frozen=True):
    """The machine of an earlier run."""

    processor: str = ""
    cores: int = 0


class Earlier(msgspec.Struct):
    """What is read of the file that an earlier run has written."""

    results: list[Result]
    date: str = "unknown"
    machine: Machine = Machine()


def read(path: Path) -> Earlier:
    """Read the file of an earlier run. Raises ValueError with a sentence if it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Earlier)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is not a file that an earlier run has written: {error}") from error


def comparison(now: Sequence[Result], earlier: Earlier) -> str:
    """Return a table of the rows that both runs have.

    A row is worse or better if its spread and the earlier one do not overlap. Figures are ratios where there is a
    baseline, because both contestants ran in the same minutes then.
    """
    before = {(each.name, each.metric): each for each in earlier.results}
    rows = [_cells(before[each.name, each.metric], each) for each in now if (each.name, each.metric) in before]
    if not rows:
        return "no row is in both"
    return in_columns([HEADINGS, *rows])


def heading(path: Path, earlier: Earlier, here: Machine) -> str:
    """Return a line about the earlier run; it names the machine if that was another one."""
    where = f", on {earlier.machine.processor}, {earlier.machine.cores} cores" if earlier.machine != here else ""
    return f"against {path} of {earlier.date}{where}"


def _cells(before: Result, now: Result) -> tuple[str, ...]:
    change = f"{100 * (now.figure / before.figure - 1):+.1f} %" if before.figure else ""
    return (
        now.name,
        now.metric,
        _shown(before),
        _spread(before),
        _shown(now),
        _spread(now),
        change,
        judgment(before, now),
    )


def judgment(before: Result, now: Result) -> str:
    """Return "WORSE", "better", or "" if the spreads overlap, or if no bound says which direction is good."""
    if now.less_is_better is None or now.low is None or now.high is None or before.low is None or before.high is None:
        return ""
    if now.low > before.high:
        return "WORSE" if now.less_is_better else "better"
    if now.high < before.low:
        return "better" if now.less_is_better else "WORSE"
    return ""


def _shown(each: Result) -> str:
    return number(each.figure) if each.ratio is not None else f"{number(each.value)} {each.unit}"


def _spread(each: Result) -> str:
    return "" if each.low is None or each.high is None else f"{number(each.low)} to {number(each.high)}"
