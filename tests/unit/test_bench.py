"""The benchmarks' harness: alternating rounds, medians, bounds, output."""

import json
import math
import re
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from random import Random

import msgspec
import pytest

from tests.bench.__main__ import DRAWN, NAMES, PARTS, verdict
from tests.bench.compare import Machine, comparison, heading, judgment, read
from tests.bench.fleet import Event, simulated
from tests.bench.fleet_model import Boxes, Load, arrivals, boxes_for, latencies
from tests.bench.harness import Median, Target, alternate, at_least, at_most, result, table
from tests.bench.rig import ROOT, STALLED_LABELER
from tests.support.figures import percentile

FORM = {"name", "metric", "value", "unit", "baseline", "ratio", "must", "goal", "met", "low", "high", "less_is_better"}


def test_contestants_alternate_and_the_first_of_a_round_is_last_in_the_next() -> None:
    turns: list[str] = []

    def contestant(name: str) -> float:
        turns.append(name)
        return 0.0

    alternate({name: partial(contestant, name) for name in ("a", "b")}, rounds=3)
    assert turns == ["a", "b", "b", "a", "a", "b"]


def test_uses_the_median_of_five_rounds() -> None:
    figures = iter([1.0, 100.0, 3.0, 2.0, 4.0])
    assert alternate({"one": lambda: next(figures)}) == {"one": 3.0}
    assert next(figures, None) is None


@pytest.mark.parametrize(
    ("value", "target", "met"),
    [
        (70.0, at_least(0.7, 0.9), True),
        (69.0, at_least(0.7, 0.9), False),
        (125.0, at_most(1.25, 1.05), True),
        (126.0, at_most(1.25, 1.05), False),
    ],
)
def test_compares_a_ratio_with_its_bounds(value: float, target: Target, met: bool) -> None:
    found = result("accept", "accepts", value, "/s", baseline=100.0, target=target)
    assert (found.ratio, found.met) == (value / 100, met)


def test_compares_a_value_without_a_baseline_with_its_bounds() -> None:
    assert result("memory", "idle", 151.0, "MB", target=at_most(150, 110)).met is False
    assert result("soak", "kills", 3.0, "").met is None


def test_writes_results_as_documented_json() -> None:
    found = msgspec.json.decode(msgspec.json.encode(result("wear", "an event", 1.0, "kB", target=at_most(1.1, 1.05))))
    assert found.keys() == FORM


def test_marks_a_missed_bound_in_the_table() -> None:
    rows = [result("accept", "accepts", 50.0, "/s", baseline=100.0, target=at_least(0.7, 0.9))]
    assert table(rows).splitlines()[1].split() == [
        "accept",
        "accepts",
        "50",
        "/s",
        "100",
        "/s",
        "0.5",
        "0.7",
        "0.9",
        "NO",
    ]
    assert table(rows, markdown=True).splitlines()[2] == "| accept | accepts | 50 /s | 100 /s | 0.5 | 0.7 | 0.9 | NO |"


def test_remembers_the_spread_of_the_ratios_of_the_rounds() -> None:
    found = result("label", "pictures", Median([8.0, 9.0, 5.0]), "/s", baseline=Median([10.0, 10.0, 10.0]))
    assert (found.ratio, found.low, found.high) == (0.8, 0.5, 0.9)
    assert (result("memory", "idle", Median([3.0, 1.0]), "MB").low, result("memory", "idle", 2.0, "MB").low) == (
        1,
        None,
    )


@pytest.mark.parametrize(
    ("before", "now", "target", "words"),
    [
        ([80, 81, 82], [70, 71, 72], at_least(0.7, 0.9), "WORSE"),
        ([80, 81, 82], [82, 83, 84], at_least(0.7, 0.9), ""),
        ([80, 81, 82], [90, 91, 92], at_least(0.7, 0.9), "better"),
        ([80, 81, 82], [90, 91, 92], at_most(1.2, 1.1), "WORSE"),
        ([80, 81, 82], [70, 71, 72], at_most(1.2, 1.1), "better"),
        ([80, 81, 82], [90, 91, 92], None, ""),
    ],
)
def test_a_difference_counts_if_the_spreads_do_not_overlap(
    before: list[float], now: list[float], target: Target | None, words: str
) -> None:
    hundred = Median([100.0] * 3)
    one, other = (result("a", "b", Median(each), "/s", baseline=hundred, target=target) for each in (before, now))
    assert judgment(one, other) == words


def test_compares_with_an_earlier_file(tmp_path: Path) -> None:
    """A file of version 0.1.0 has no spread."""
    file = tmp_path / "bench.json"
    old = {"name": "accept", "metric": "durable accepts", "value": 50.0, "unit": "/s", "baseline": 100.0, "ratio": 0.5}
    file.write_bytes(msgspec.json.encode({"results": [old], "date": "2026-11-26"}))
    now = [
        result("accept", "durable accepts", Median([60.0]), "/s", baseline=Median([100.0])),
        result("new", "x", 1, "s"),
    ]
    shown = comparison(now, read(file))
    assert shown.splitlines()[1].split() == [
        "accept",
        "durable",
        "accepts",
        "0.5",
        "0.6",
        "0.6",
        "to",
        "0.6",
        "+20.0",
        "%",
    ]
    assert len(shown.splitlines()) == 2
    assert comparison([result("other", "x", 1, "s")], read(file)) == "no row is in both"


def test_the_heading_of_a_comparison_names_another_machine(tmp_path: Path) -> None:
    file, here = tmp_path / "bench.json", Machine("EPYC", 2)
    machine = {"processor": "EPYC", "cores": 2, "load": 0.1}
    file.write_bytes(msgspec.json.encode({"results": [], "date": "2026-11-28", "machine": machine}))
    assert heading(file, read(file), here) == f"against {file} of 2026-11-28"
    assert heading(file, read(file), Machine("Pi", 4)) == f"against {file} of 2026-11-28, on EPYC, 2 cores"


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_a_file_that_cannot_be_compared_is_named_before_anything_is_measured(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "bench.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=r"bench\.json(: No such file| is not a file that an earlier run has written)"):
        read(file)


def test_a_figure_of_all_rounds_remembers_them() -> None:
    found = result("latency", "p99", Median([1.0, 3.0], 2.5), "ms")
    assert (found.value, found.low, found.high) == (2.5, 1.0, 3.0)


def test_a_percentile_is_one_of_the_measured_figures() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3.0


def test_each_name_of_the_table_is_a_module() -> None:
    assert all(find_spec(f"tests.bench.{name}") for name in (*NAMES, *DRAWN, *PARTS))


def test_a_missed_must_is_named_and_ends_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    met = result("courtyard", "auto: false persons", 5, "", target=at_most(8, 4))
    missed = result("courtyard", "whole: false persons", 9, "", target=at_most(8, 4))
    assert verdict([met, missed], quick=False) == 1
    assert capsys.readouterr().out == "\n1 must is missed:\ncourtyard, whole: false persons\n"
    assert verdict([met], quick=False) == 0
    assert verdict([missed], quick=True) == 0  # its figures mean nothing


def test_an_unknown_name_lists_the_known_ones() -> None:
    asked = subprocess.run([sys.executable, "-m", "tests.bench", "acept"], capture_output=True, text=True, cwd=ROOT)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "there is no benchmark acept; there are accept, accept_depth" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_a_stalling_labeler_ends_with_its_daemon() -> None:
    command = json.loads(STALLED_LABELER["CAMIOHOOKD_LABELER_COMMAND"])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        answer, _ = process.communicate((2).to_bytes(4, "big") + b"{}" + b"more", timeout=30)
    assert (answer, process.returncode) == (b"\0\0\0\x0e" + b'{"labels": {}}', 0)


@pytest.mark.parametrize(("threads", "expected"), [(1, 1 / (1 - 0.6)), (2, 1 / (1 - 0.6**2))])
def test_the_simulated_fleet_agrees_with_the_theory_of_queues(threads: int, expected: float) -> None:
    """Kleinrock, Queueing Systems I: the mean time in M/M/1 is S / (1 - use), in M/M/2 it is S / (1 - use ** 2)."""
    exponential = [-math.log((nth + 0.5) / 1000) for nth in range(1000)]  # with the mean 1
    load = Load(cameras=3 * threads, per_minute=36, pictures=1)
    boxes = Boxes(3, threads, exponential)
    assert boxes.use_by(load) == pytest.approx(0.6, rel=0.01)
    found = latencies(arrivals(load, 60_000), 1, boxes)
    assert sum(found) / len(found) == pytest.approx(expected, rel=0.05)


def test_the_simulation_repeats_a_run_from_what_was_measured_of_it() -> None:
    random = Random(1)
    free = [0.0, 0.0]
    events: list[Event] = []
    for posted in arrivals(Load(cameras=2, per_minute=400, pictures=1), 500):
        box = random.randrange(2)
        began = max(free[box], posted + 0.01)
        free[box] = began + random.uniform(0.1, 0.12)
        events.append(Event(posted, box, began, free[box], free[box] + 0.02))
    measured = percentile([each.arrived - each.posted for each in events], 0.95)
    assert measured > 0.3, "events wait for each other"
    event_by_event, at_random = simulated(events, 2)
    assert event_by_event == pytest.approx(measured, rel=0.02)
    assert percentile(at_random, 0.05) < measured < percentile(at_random, 0.95)


def test_the_page_about_capacity_calculates_as_it_says() -> None:
    page = (ROOT / "docs/capacity.md").read_text()
    rows = re.findall(r"^\| ([\d.]+) \| (.*?) \| (\d+) \|(.* cameras) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for ms, box, shown, cells in rows:
        rate = float(shown) if "measured" in box else 700 / float(ms)
        assert int(shown) == pytest.approx(rate, abs=0.5)
        # 42 is 70 % of a minute, in whole numbers so that 588 stays 588.
        found = [int(each.replace(",", "")) for each in re.findall(r"([\d,]+) cameras", cells)]
        assert found == [int(42 * rate / (events * pictures)) for events, pictures in ((0.5, 4), (2, 4), (2, 10))]


def test_more_cameras_take_more_boxes() -> None:
    counts = [boxes_for(Load(each, 6, 4), Boxes(1, 2, [0.1]), within=2, events=5000) for each in (10, 100, 1000)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[2] >= 20  # 40 seconds of labeling a second, by two threads each
