"""A start with 100,000 tasks that are only in the journal, as after a crash."""

import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.bench import rig
from tests.bench.harness import Bench, Result, at_most, result
from tests.bench.pictures import jpegs


def run(bench: Bench) -> Iterator[Result]:
    place, waiting = bench.place("recovery"), bench.count(100_000, 1_000)
    crashed = place / "crashed"
    rig.prefill(crashed, waiting, jpegs(32, 24)[:1], tidy=False)
    times = [recovered(place, crashed) for _ in range(bench.count(5, 1))]
    metric = f"exec to READY=1, a journal of {waiting:,} tasks"
    yield result("recovery", metric, statistics.median(times), "s", target=at_most(3, 1))


def recovered(place: Path, crashed: Path) -> float:
    """Nothing is labelled and no model is loaded; `startup` measures that."""
    folder = place / "daemon"
    folder.mkdir()
    shutil.copytree(crashed, folder / "state")
    daemon = rig.daemon(folder, settings=rig.STALLED_LABELER)
    try:
        return rig.seconds_to_ready(daemon)
    finally:
        daemon.kill()
        shutil.rmtree(folder)
