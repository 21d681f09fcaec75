"""Every state that a power cut may leave is recovered to what was acknowledged before it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from camiohookd import segments, storage
from camiohookd.housekeeping import Housekeeper
from camiohookd.room import DAY
from camiohookd.storethread import StoreThread
from camiohookd.taskqueue import TaskQueue
from camiohookd.tasks import Cause
from tests.faults.crashes import Cuts, every_byte, some_bytes
from tests.faults.exploring import Explorer, Tally, build
from tests.faults.model import (
    Acknowledged,
    Asked,
    Driver,
    digest_of,
    event,
    reply,
)
from tests.faults.recording import RecordingDisk

Scenario = Callable[[Driver], None]

STEP = 300


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few events fill segments and journals."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(storage, "MIN_JOURNAL_BYTES", 800)


@pytest.fixture
def cuts(long_run: bool) -> Cuts:
    return every_byte if long_run else some_bytes


@pytest.fixture
def explorer(memory_folder: Path, tally: Tally, cuts: Cuts) -> Explorer:
    return Explorer(memory_folder / "crashed", tally, cuts)


def a_life(driver: Driver) -> None:
    """Each verb, in commits of one task and of several."""
    driver.put("a", "b", "c")
    driver.put("d", size=400, pictures=2)
    driver.claim("a", "b")
    driver.labelled("a")
    driver.give_back("b")
    driver.retry("a")
    driver.put_again("a")
    driver.retry("a")
    driver.claim("b", "c")
    driver.labelled("b", "c")
    driver.done("a", "b")
    driver.fail("c", "it answered 404")
    driver.fail("d", "the labeler is broken")
    driver.put_again("d", driver.redriven("d"))
    driver.redrive("c")
    driver.put_again("b")
    driver.drop("c")
    driver.put("e")
    driver.drop("d")


def segments_that_fill_and_go(driver: Driver) -> None:
    """Payload files are begun and deleted while tasks come and go."""
    for number in range(4):
        driver.life(f"{number} a", f"{number} b", f"{number} c")
        driver.put(f"{number} stays", size=150)
    for number in range(3):
        driver.drop(f"{number} stays")


def compaction_between_commits(driver: Driver) -> None:
    """A snapshot is written in steps, twice over, while tasks change, come and go."""
    driver.put("a", "b", "c", "d")
    driver.claim("a", "b")
    driver.labelled("a")
    driver.drop("d")
    steps = 0
    changes = [
        lambda: driver.labelled("b"),
        lambda: driver.put("e"),
        lambda: driver.done("a"),
        lambda: driver.claim("c"),
        lambda: driver.retry("b"),
        lambda: driver.drop("c"),
        lambda: driver.fail("b", "410"),
    ]
    for _ in range(2):
        while not driver.queue.storage.compact_step(STEP):
            if changes:
                changes.pop(0)()
            steps += 1
    driver.put("f")
    assert steps > 4
    assert not changes


def housekeeping(driver: Driver) -> None:
    """Tasks are forgotten and expire, and the journal is compacted as it is by the daemon."""
    keeper = Housekeeper(driver.queue)
    driver.life("a", "b")
    driver.put("c")
    driver.clock.seconds += 2 * DAY
    driver.keep_house(keeper.step, "a", "b")
    driver.put("d")
    driver.clock.seconds += 13 * DAY
    reason = "it waited for longer than queue.max_age"
    seen = driver.now("c")
    assert seen is not None
    driver.hear(Asked({digest_of("c"): ("failed", Cause.EXPIRED, reason, seen[1], None)}))
    keeper.step()
    driver.hear(Acknowledged())
    while keeper.step():
        pass
    driver.clock.seconds += 1.0
    driver.put("e", "f", "g")
    while keeper.step():
        pass


def stops_and_starts(driver: Driver) -> None:
    driver.life("a")
    driver.put("b", "c")
    driver.claim("b")
    driver.stop_and_start()
    driver.put("d")
    driver.drop("d")
    driver.stop_and_start()
    driver.claim("b")
    driver.labelled("b")
    driver.put("e")


def kills_and_starts(driver: Driver) -> None:
    """The process dies, and before all of what it wrote is on the disk the power is cut as well."""
    driver.put("a", "b")
    driver.claim("a", "b")
    driver.kill_and_start()
    driver.put_again("a")
    driver.claim("a")
    driver.labelled("a")
    driver.put("c")
    driver.drop("c")
    driver.kill_and_start()
    driver.put("d")
    driver.done("a")
    driver.kill_and_start()
    driver.put_again("d")
    driver.drop("d")
    driver.drop("a")
    driver.kill_and_start()
    driver.put("e")


SCENARIOS: list[Scenario] = [
    a_life,
    segments_that_fill_and_go,
    compaction_between_commits,
    housekeeping,
    stops_and_starts,
    kills_and_starts,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_what_was_acknowledged_survives_a_power_cut_at_any_write(
    scenario: Scenario, memory_folder: Path, explorer: Explorer
) -> None:
    driver = Driver(memory_folder / "state")
    scenario(driver)
    _expect_none(explorer.explore(driver))


def _expect_none(problems: list[str]) -> None:
    assert not problems, "\n\n".join(["", *problems])
