"""Recover every state that a power cut may leave: it equals what was acknowledged before."""

import asyncio
import errno
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.capacity import DAY
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import segments, table_files
from tests.faults.crashes import crashes, every_byte, some_bytes
from tests.faults.exploring import Explorer, Tally, build, expect_none
from tests.faults.model import (
    Acknowledged,
    Asked,
    Driver,
    Seen,
    damage,
    digest_of,
    event,
    kill,
    ledger_of,
    open_queue,
    plain,
    reply,
    see_all,
)
from tests.faults.recording import FailingDisk, Killed, RecordingDisk, Unlink

Scenario = Callable[[Driver], None]

STEP_BYTES = 200


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a few events fill segments and journals."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 800)


@pytest.fixture(scope="module")
def explorer(workshop: Path, tally: Tally, long_run: bool) -> Explorer:
    return Explorer(workshop, tally, every_byte if long_run else some_bytes)


def a_life(driver: Driver) -> None:
    """Call each verb, in commits of one task and of several."""
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


def fill_and_delete_segments(driver: Driver) -> None:
    """Start and delete payload files while tasks come and go."""
    for number in range(4):
        driver.life(f"{number} a", f"{number} b", f"{number} c")
        driver.put(f"{number} stays", size=150)
    for number in range(3):
        driver.drop(f"{number} stays")


def compact_between_commits(driver: Driver) -> None:
    """Write a snapshot in steps, twice, while tasks change, come and go."""
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
        while not driver.queue.store.storage.compact_step(STEP_BYTES):
            if changes:
                changes.pop(0)()
            steps += 1
    driver.put("f")
    assert steps > 6
    assert not changes


def housekeeping(driver: Driver) -> None:
    """Forget and expire tasks, and compact the journal, as the daemon does."""
    keeper = Housekeeper(driver.queue)
    driver.life("a", "b")
    driver.put("c")
    driver.clock.seconds += 2 * DAY
    driver.keep_house(keeper.step, {"a": None, "b": None})
    driver.put("d")
    driver.clock.seconds += 13 * DAY
    reason = "it waited longer than queue.max_age"
    seen = driver.now("c")
    assert seen is not None
    driver.keep_house(keeper.step, {"c": ("failed", Cause.EXPIRED, reason, seen[1], None)})
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
    """Kill the process; the power is cut before all its data is on the disk."""
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


def making_room(driver: Driver) -> None:
    """Delete pictures that were kept for the owner, between a commit that found no room and one that finds it."""
    driver.put("a", "b", "c", "d")
    driver.fail("a", "no")
    driver.fail("c", "nor this")
    for name, neighbor in (("e", "b"), ("f", "d"), ("g", "e")):
        capacity = driver.queue.capacity
        capacity.bounds = replace(capacity.bounds, max_bytes=driver.queue.store.bytes_used + 100)
        _put_and_label(driver, name, neighbor)
    assert any(isinstance(entry, Unlink) and entry.name.startswith("segments/") for entry in driver.disk.log)


def _put_and_label(driver: Driver, name: str, neighbor: str) -> None:
    """Act like the store thread: label another task, make room for the refused event, and put it again."""
    if driver.now(neighbor) is not None:
        driver.labelled(neighbor)
    try:
        driver.put(name)
    except QueueFull as full:
        need = full.need
        without = {each: _without_pictures(seen) for each in "abcdefg" if (seen := driver.now(each))}
        driver.hear(Asked({digest_of(each): seen for each, seen in without.items()}))
        has_room = driver.queue.capacity.make_room(need)
        now = {digest: seen for digest, (_, seen) in see_all(driver.queue).items()}
        driver.hear(Acknowledged({digest_of(each): now[digest_of(each)] for each in without}, {}))
        if has_room:
            driver.put(name)


def _without_pictures(seen: Seen) -> Seen:
    assert seen is not None
    match seen[0]:
        case "labelled":
            return (*seen[:4], None)
        case "failed":
            return (*seen[:3], None, seen[4])
        case _:
            return seen


SCENARIOS: list[Scenario] = [
    making_room,
    a_life,
    fill_and_delete_segments,
    compact_between_commits,
    housekeeping,
    stops_and_starts,
    kills_and_starts,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_acknowledged_changes_survive_a_power_cut_at_any_write(
    scenario: Scenario, memory_folder: Path, explorer: Explorer
) -> None:
    driver = Driver(memory_folder / "state")
    scenario(driver)
    expect_none(explorer.explore(driver.disk))


def test_a_power_cut_during_recovery_loses_nothing(memory_folder: Path, explorer: Explorer, long_run: bool) -> None:
    driver = Driver(memory_folder / "state")
    kills_and_starts(driver)
    first, again = driver.disk, memory_folder / "again"
    count = sum(1 for _ in crashes(first.start, first.log, some_bytes))
    chosen = set(random.Random(1).sample(range(count), 1000 if long_run else 25))
    for number, crash in enumerate(crashes(first.start, first.log, some_bytes)):
        if number in chosen:
            build(again, crash.folder)
            second = RecordingDisk(again)
            kill(open_queue(again, second))
            expect_none(explorer.explore(second, ledger_of(first.log[: crash.entry])))


def test_a_migration_survives_a_power_cut_at_any_write(memory_folder: Path, explorer: Explorer) -> None:
    folder = memory_folder / "state"
    folder.mkdir()
    old = {key: _old_task(f"old {key}") for key in ("3", "4", "7")}
    documents = {key: task.to_document() for key, task in old.items()}
    (folder / "queue.json").write_text(json.dumps({"_default": documents}))
    disk = RecordingDisk(folder)
    outcomes = {task.digest: ("failed", task.cause, task.reason, None, None) for task in old.values()}
    disk.mark(Acknowledged({**outcomes}, {task.digest: key for key, task in old.items()}))
    driver = Driver(folder, disk)
    driver.put("a")
    expect_none(explorer.explore(driver.disk))


def _old_task(name: str) -> Task:
    return Task(state=State.FAILED, digest=digest_of(name), cause=Cause.REFUSED, reason=name)


def test_a_power_cut_after_damage_was_set_aside_loses_nothing_more(memory_folder: Path, explorer: Explorer) -> None:
    folder = memory_folder / "state"
    driver = Driver(folder)
    driver.put("a", "b")
    driver.put("c")
    driver.drop("a")
    kill(driver.queue)
    damage(folder / "queue.journal-00000001", b'"put","2"')
    after = Driver(folder)
    assert after.queue.store.quarantine.counts == {"journal": 1}
    after.ledger = driver.ledger
    keeper = Housekeeper(after.queue)
    after.put("d")
    while keeper.step():
        after.put_again("b")
    after.kill_and_start()
    after.put("e")
    expect_none(explorer.explore(after.disk, ledger_of(driver.disk.log)))


def test_changes_acknowledged_in_one_commit_survive_a_power_cut(memory_folder: Path, explorer: Explorer) -> None:
    """Eight senders, two label threads and two deliveries run at once, as in the daemon."""
    driver = Driver(memory_folder / "state")
    asyncio.run(_crowd(driver))
    expect_none(explorer.explore(driver.disk))


@pytest.mark.parametrize("call", range(1, 12))
def test_a_kill_during_a_commit_and_a_power_cut_after_it_lose_nothing(
    call: int, memory_folder: Path, explorer: Explorer
) -> None:
    """The next process reads what the killed one wrote, although it is not yet on the disk."""
    disk = FailingDisk(memory_folder / "state")
    driver = Driver(memory_folder / "state", disk)
    driver.put("a")
    driver.claim("a")
    disk.arm(call, call, Killed())
    with suppress(Killed):
        driver.put("b")
        driver.queue.store.storage.compact_step()
        driver.labelled("a")
    disk.heal()
    driver.kill_and_start()
    driver.put_whether_known("b")
    driver.put("c")
    driver.fail("c", "the labeler is broken")
    expect_none(explorer.explore(disk))


@pytest.mark.parametrize("call", range(1, 9))
@pytest.mark.parametrize("length", [1, 2])
def test_a_failed_commit_and_a_power_cut_after_it_lose_nothing(
    call: int, length: int, memory_folder: Path, explorer: Explorer
) -> None:
    disk = FailingDisk(memory_folder / "state")
    driver = Driver(memory_folder / "state", disk)
    driver.put("a")
    disk.arm(call, call + length - 1, OSError(errno.EIO, "Input/output error"))
    with suppress(StoreUnavailable):
        driver.put("b")
        driver.put("c")
    disk.heal()
    driver.put_whether_known("b")
    driver.labelled("a")
    expect_none(explorer.explore(disk))


async def _crowd(driver: Driver) -> None:
    store = StoreThread(driver.queue)

    async def ask(name: str, outcome: Seen, operation: Callable[[TaskQueue], str | None]) -> str:
        outcomes = {digest_of(name): outcome}

        def perform(queue: TaskQueue) -> str | None:
            driver.disk.mark(Asked(outcomes))
            return operation(queue)

        task_id = await store.call(perform)
        driver.disk.mark(Acknowledged(outcomes, {digest_of(name): task_id} if task_id else {}))
        return task_id or ""

    async def life(name: str) -> None:
        each, kept = event(name), reply(name)
        task_id = int(await ask(name, ("pending", each.pictures), lambda queue: queue.put(each).id))
        await ask(
            name, ("labelled", plain(kept), 0, 0.0, event(name).pictures), lambda queue: queue.labelled(task_id, kept)
        )
        await ask(name, ("done",), lambda queue: queue.deliveries.done(task_id))

    await asyncio.gather(*(life(f"event {number}") for number in range(8)))
    await asyncio.to_thread(store.stop)
