"""All troubles at once, on the real daemon: nothing is lost, nobody is starved, and memory stays flat.

A host that answers after 5 s beside a fast one, a full disk that comes and goes, bursts of chunked and gzip events, a
storm of one camera, kill -9 with garbage in the files of the state folder. Without ``--long`` a short time of each.
Who waits for whom is counted, because a count, unlike a time, does not depend on the machine.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.small_disk import CANNOT_MOUNT, MOUNTS, SmallDisk, mounted
from tests.faults.soaking import ANSWER_SECONDS, Host, Passed, Plan, Soak, who_waited_for_whom
from tests.support.daemon_process import Daemon
from tests.support.threaded_simulator import FakeCamioThread

MB = 1_000_000
DISK = "128M"
CONCURRENCY = 4
THREADS = 2
IN_HAND = 2 * THREADS  # `AHEAD` of `label_loop` for each thread
MOST_STORM_BEFORE = 2 * IN_HAND
"""Events of the storm that may be labeled before another camera's: those in hand when it comes, twice, because a line
of the log may be written a little later than the commit that it tells of."""
MOST_SLOW_BEFORE = CONCURRENCY
"""Deliveries to the slow host that may end before another host's begins and ends: those in flight when it comes."""
MEMORY_MARGIN = 1.15
"""Between minute 3 and minute 10."""

SHORT = Plan(
    seconds=14, quiet=(7, 14), kill_every=3, full_every=9, full_for=1.5,
    slow=14, slow_every=60, storm=24, storm_every=6, burst=20, burst_every=8,
)  # fmt: skip
LONG = Plan(
    seconds=660, quiet=(150, 600), kill_every=15, full_every=47, full_for=4,
    slow=30, slow_every=60, storm=60, storm_every=20, burst=20, burst_every=15,
)  # fmt: skip


@pytest.fixture
def small_disk(tmp_path: Path, not_tested: Callable[[str], None]) -> Iterator[SmallDisk | None]:
    """A file system for the state folder, None where none can be mounted."""
    for kind in MOUNTS:
        with ExitStack() as mounts:
            try:
                disk = mounts.enter_context(mounted(tmp_path / "disk", kind, DISK))
            except (OSError, subprocess.CalledProcessError):
                continue
            yield disk
            return
    not_tested(f"the soak on a disk that is full, but only with writes that the kernel refuses, because {CANNOT_MOUNT}")
    yield None


def test_nothing_is_lost_and_nobody_starves_under_all_troubles_at_once(
    tmp_path: Path, small_disk: SmallDisk | None, long_run: bool, print_figure: Callable[[str], None]
) -> None:
    with FakeCamioThread() as quick, FakeCamioThread() as slow, FakeCamioThread() as calm:
        settings = {
            "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": json.dumps([quick.origin, slow.origin, calm.origin]),
            "CAMIOHOOKD_CALLBACK_CONCURRENCY": str(CONCURRENCY),
            "CAMIOHOOKD_LABELER_THREADS": str(THREADS),
            "CAMIOHOOKD_QUEUE_MIN_FREE_BYTES": "1 MB",
        }
        daemon = Daemon(tmp_path, quick.origin, settings)
        if small_disk is not None:
            daemon.state = small_disk.path / "state"
            daemon.environ["STATE_DIRECTORY"] = str(daemon.state)
        with daemon:
            plan = LONG if long_run else SHORT
            soak = Soak(daemon, Host(quick), Host(slow, ANSWER_SECONDS), Host(calm), plan, small_disk)
            soak.run()
            retry_what_died_of_kills(daemon)
            soak.fast.wait_for(name for name in soak.accepted if not name.startswith(("slow", "calm")))
            soak.slow.wait_for(name for name in soak.accepted if name.startswith("slow"))
            assert daemon.admin("/readyz")[0] == 200
            assert daemon.metric("tasks_leaked_total") == 0
        passed = who_waited_for_whom(daemon.log)
        tell(soak, passed, print_figure)
        assert soak.kills > 0
        assert soak.fillings > 0
        assert passed.storm <= MOST_STORM_BEFORE
        assert passed.slow <= MOST_SLOW_BEFORE
        assert soak.refusals["busy"] == 0, "memory for bodies that come in pieces"
        assert "Traceback" not in daemon.log
        if long_run:
            early, late = memory_of(soak, 180, 240), memory_of(soak, 540, 600)
            print_figure(f"soak: memory {early / MB:.0f} MB in minute 4, {late / MB:.0f} MB in minute 10")
            assert late < MEMORY_MARGIN * early


def retry_what_died_of_kills(daemon: Daemon) -> None:
    """An event that was alone in hand at three kills is failed as poison, and is kept."""
    lines = daemon.command("queue", "list", "--state", "failed", "--json").stdout.splitlines()
    failed = [json.loads(line) for line in lines]
    assert {task["cause"] for task in failed} <= {"poison"}, failed
    if failed:
        daemon.command("queue", "retry", "--failed")


def memory_of(soak: Soak, since: float, until: float) -> float:
    """Return the median of the resident memory in bytes."""
    return statistics.median(memory for at, memory in soak.memory if since <= at < until)


def tell(soak: Soak, passed: Passed, print_figure: Callable[[str], None]) -> None:
    refused = ", ".join(f"{count} {code}" for code, count in sorted(soak.refusals.items())) or "none"
    repeats = sum(host.deliveries for host in (soak.fast, soak.slow, soak.calm)) - len(soak.accepted)
    print_figure(
        f"soak of {soak.plan.seconds} s: {len(soak.accepted)} accepted, 0 lost, {repeats} repeats; {soak.kills} kills "
        f"with garbage, {soak.fillings} times a full disk; refused and sent again: {refused}"
    )
    print_figure(
        f"soak: another camera waited for at most {passed.storm} events of the storm (bound {MOST_STORM_BEFORE}), "
        f"another host for at most {passed.slow} slow deliveries (bound {MOST_SLOW_BEFORE}); from 200 to its labels "
        f"{statistics.median(soak.waits):.2f} s in the median, {max(soak.waits):.1f} s at most, full disks and starts "
        "included"
    )
