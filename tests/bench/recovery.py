"""A start after a crash, with a long backlog of labels, and with a damaged snapshot.

What keeps the first from a second, on 29 November 2026 (process_time on a busy machine, a journal of 50,000 tasks): a
start without tasks takes 0.7 s, and a task 9 µs more. Of these, 1.6 are for the check and the parsing of its line, 2.8
for packing its document and 1.2 for unpacking it for the index, 0.7 for the index's fields, and the rest for
dictionaries and sorted lists. Documents that are not packed would take 300 bytes more each.
"""

import os
import shutil
import statistics
from collections.abc import Iterator
from pathlib import Path

from tests.bench import rig
from tests.bench.harness import Bench, Result, at_most, result
from tests.bench.pictures import jpegs
from tests.support import opening
from tests.support.queue_factory import HOST, long_reply, seed


def run(bench: Bench) -> Iterator[Result]:
    place, waiting = bench.place("recovery"), bench.count(100_000, 1_000)
    crashed = place / "crashed"
    rig.prefill(crashed, waiting, jpegs(32, 24)[:1], tidy=False)
    times = [recovered(place, crashed) for _ in range(bench.count(5, 1))]
    metric = f"exec to READY=1, a journal of {waiting:,} tasks"
    yield result("recovery", metric, statistics.median(times), "s", target=at_most(3, 1))
    yield from long_backlog(bench, place / "backlog", waiting)


def long_backlog(bench: Bench, folder: Path, waiting: int) -> Iterator[Result]:
    """As many events wait for the delivery of their labels, have been delivered, and a tenth as many have failed."""
    seed(folder, waiting, long_reply(), labeled_of=1, done=waiting, failed=waiting // 10)
    rounds = bench.count(5, 1)
    good = [opening.measure(folder) for _ in range(rounds)]
    seconds = statistics.median(each.seconds for each in good)
    yield result("recovery", f"opening, {waiting:,} labeled and as many done", seconds, "s", target=at_most(5, 3))
    peak = max(each.peak_bytes for each in good) / 1e6
    yield result("recovery", "most memory meanwhile, no model", peak, "MB", target=at_most(220, 180))
    starts = [started(folder.parent, folder) for _ in range(rounds)]
    metric = f"exec to READY=1, {waiting:,} labeled and as many done"
    yield result("recovery", metric, statistics.median(each[0] for each in starts), "s", target=at_most(5, 3))
    peak = max(each[1] for each in starts) / 1e6
    yield result("recovery", "most memory meanwhile, of the whole daemon", peak, "MB", target=at_most(220, 200))
    snapshot = folder / "queue.json"
    data = snapshot.read_bytes()
    damaged = data[: len(data) // 2] + os.urandom(bench.count(64, 1) << 20) + data[len(data) // 2 :]
    times = []
    for _ in range(rounds):
        shutil.rmtree(folder / "quarantine", ignore_errors=True)
        snapshot.write_bytes(damaged)
        times.append(opening.measure(folder).seconds)
    metric, found = "the same with 64 MiB of garbage", statistics.median(times)
    yield result("recovery", metric, found, "s", baseline=seconds, target=at_most(2, 1.5))


def started(place: Path, backlog: Path) -> tuple[float, int]:
    """Return the seconds until the daemon is ready, and the most memory that it took, in bytes, with its model.

    Its callback host does not exist, so that nothing is delivered meanwhile.
    """
    folder = place / "daemon"
    folder.mkdir()
    shutil.copytree(backlog, folder / "state")
    daemon = rig.daemon(folder, f"https://{HOST}")
    try:
        return rig.seconds_to_ready(daemon), daemon.most_memory()
    finally:
        daemon.kill()
        shutil.copytree(daemon.state / "graphs", backlog / "graphs", dirs_exist_ok=True)  # the next start is a warm one
        shutil.rmtree(folder)


def recovered(place: Path, crashed: Path) -> float:
    """Nothing is labeled and no model is loaded; `startup` measures that."""
    folder = place / "daemon"
    folder.mkdir()
    shutil.copytree(crashed, folder / "state")
    daemon = rig.daemon(folder, settings=rig.STALLED_LABELER)
    try:
        return rig.seconds_to_ready(daemon)
    finally:
        daemon.kill()
        shutil.rmtree(folder)
