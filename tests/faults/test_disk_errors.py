"""Let each call of the disk fail: callers get an error, no accepted event is lost, the queue recovers with the disk."""

import asyncio
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.capacity import DAY
from camiohookd.queue.compaction import PAUSE_AFTER_FAILURE
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import segments, table_files
from tests.faults.exploring import Explorer, Tally, expect_none, recover_twice
from tests.faults.model import (
    Acknowledged,
    Driver,
    Ledger,
    Seen,
    damage,
    digest_of,
    event,
    kill,
    open_queue,
    reply,
    see_all,
)
from tests.faults.recording import FailingDisk

ERRORS = [errno.ENOSPC, errno.EIO, errno.EROFS]
MAX_TRIES = 60

Step = Callable[[Driver], object]


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 1500)


@pytest.fixture(scope="module")
def explorer(workshop: Path, tally: Tally) -> Explorer:
    return Explorer(workshop, tally, lambda length: [length // 2])


def _compact(driver: Driver) -> None:
    """Compact as the housekeeper does, in smaller steps."""
    try:
        while not driver.queue.store.storage.compact_step(200):
            pass
    except OSError as error:
        raise StoreUnavailable(str(error)) from error


def _keep_house(driver: Driver) -> None:
    keeper = Housekeeper(driver.queue)
    driver.clock.seconds += PAUSE_AFTER_FAILURE + 1
    while keeper.step():
        pass


def _forget(driver: Driver) -> None:
    driver.clock.seconds += 2 * DAY
    driver.keep_house(Housekeeper(driver.queue).step, {})


STEPS: list[Step] = [
    lambda driver: driver.put("a", "b"),
    lambda driver: driver.put("c", size=400),
    lambda driver: driver.claim("a", "b"),
    lambda driver: driver.labelled("a"),
    lambda driver: driver.retry("a"),
    lambda driver: driver.fail("b", "it cannot be labeled"),
    lambda driver: driver.put_again("a"),
    _compact,
    lambda driver: driver.put_again("b", driver.redriven("b")),
    lambda driver: driver.put("d", "e"),
    lambda driver: driver.done("a"),
    lambda driver: driver.stop(),
    lambda driver: driver.start(),
    lambda driver: driver.labelled("d", "e"),
    lambda driver: driver.drop("c"),
    lambda driver: driver.put("f"),
    lambda driver: driver.done("d"),
    _keep_house,
    lambda driver: driver.put("g"),
    lambda driver: driver.drop("f"),
    lambda driver: driver.stop(),
    lambda driver: driver.start(),
    lambda driver: driver.put("h"),
]


class _Trial:
    """Run all steps, and repeat each until it succeeds."""

    def __init__(self, folder: Path, first: int, length: int) -> None:
        self.disk = FailingDisk(folder / "state")
        self.driver = Driver(folder / "state", self.disk)
        self._copy = folder / "copy"
        self._error = OSError(ERRORS[first % len(ERRORS)], os.strerror(ERRORS[first % len(ERRORS)]))
        self.disk.arm(first, first + length - 1, self._error)

    def run(self) -> None:
        for step in STEPS:
            self._perform(step)
        self._check_running()
        self._check_after_kill()

    def _perform(self, step: Step) -> None:
        for _ in range(MAX_TRIES):
            try:
                step(self.driver)
            except (StoreUnavailable, QueueFull):
                self._check_running()
                self._check_after_kill()
            else:
                return
        raise AssertionError("the queue still fails although the disk works again")

    def _check_running(self) -> None:
        if self.driver.running:
            seen = {digest: seen for digest, (_, seen) in see_all(self.driver.queue).items()}
            assert seen == {digest: each[0] for digest, each in self.driver.ledger.allowed.items() if each[0]}

    def _check_after_kill(self) -> None:
        shutil.rmtree(self._copy, ignore_errors=True)
        shutil.copytree(self.driver.folder, self._copy)
        recovered = recover_twice(self._copy)
        assert not [*recovered.problems, *self.driver.ledger.problems(recovered.tasks)]
        assert recovered.next_id > self.driver.ledger.highest_id


def _count_calls(folder: Path) -> int:
    trial = _Trial(folder, 1, 0)
    trial.run()
    return trial.disk.calls


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (2, 3), (5, 4), (25, 9)])
def test_failing_calls_lose_no_accepted_event(
    length: int, stride: int, memory_folder: Path, explorer: Explorer, long_run: bool
) -> None:
    """Let `length` calls in a row fail, starting at every call (without `--long`: at every `stride`th)."""
    calls = _count_calls(memory_folder / "counted")
    for first in range(1, calls + 1, 1 if long_run else stride):
        folder = memory_folder / f"{first}"
        folder.mkdir()
        with _noted(f"calls {first} to {first + length - 1} of {calls} failed"):
            trial = _Trial(folder, first, length)
            trial.run()
            assert trial.disk.hits
            if long_run or (length == 1 and first % 200 == 1):
                expect_none(explorer.explore(trial.disk))
        kill(trial.driver.queue)
        shutil.rmtree(folder)


@contextmanager
def _noted(what: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(what)
        raise


def test_does_not_assign_an_id_again_after_a_compaction_failed_to_begin(memory_folder: Path) -> None:
    """The failed compaction may leave a journal with an older note than the journal in use."""
    disk = FailingDisk(memory_folder / "state")
    driver = Driver(memory_folder / "state", disk)
    driver.put("a", size=600)
    disk.arm(4, 5, OSError(errno.EIO, "Input/output error"))  # the sync of the folder, and the clean-up
    with pytest.raises(OSError, match="Input/output error"):
        driver.queue.store.storage.compact_step()
    assert (memory_folder / "state" / "queue.journal-00000002").exists()
    driver.put("b", size=600)
    driver.drop("b")
    kill(driver.queue)
    assert recover_twice(memory_folder / "state").next_id == 3


def test_a_journal_made_after_a_failed_attempt_survives_a_power_cut(memory_folder: Path, explorer: Explorer) -> None:
    """Linux drops data that a failed sync could not write, although it can still be read."""
    disk = FailingDisk(memory_folder / "state")
    driver = Driver(memory_folder / "state", disk)
    driver.put("a", size=600)
    disk.arm(3, 4, OSError(errno.EIO, "Input/output error"))  # the sync of the new journal, and the clean-up
    with pytest.raises(OSError, match="Input/output error"):
        driver.queue.store.storage.compact_step()
    _compact(driver)
    driver.fail("a", "it cannot be labeled")
    kill(driver.queue)
    expect_none(explorer.explore(disk))


def _empty(folder: Path) -> Ledger:
    folder.mkdir()
    return Ledger()


def _of_format_1(folder: Path) -> Ledger:
    folder.mkdir()
    task = Task(state=State.FAILED, digest=digest_of("old"), cause=Cause.REFUSED, reason="410")
    (folder / "queue.json").write_text(json.dumps({"_default": {"5": task.to_document()}}))
    ledger = Ledger()
    ledger.hear(Acknowledged({task.digest: ("failed", task.cause, task.reason, None, None)}, {task.digest: "5"}))
    return ledger


def _damaged(folder: Path) -> Ledger:
    driver = Driver(folder)
    driver.put("a", "b", "c")
    driver.claim("a")
    kill(driver.queue)
    damage(folder / "queue.journal-00000001", b'"put","2"')
    return driver.ledger


@pytest.mark.parametrize("lay", [_empty, _of_format_1, _damaged])
@pytest.mark.parametrize("length", [1, 3])
def test_reports_a_disk_error_at_the_start_and_the_next_start_finds_everything(
    lay: Callable[[Path], Ledger], length: int, memory_folder: Path
) -> None:
    first, hits = 0, 1
    while hits:
        first += 1
        folder = memory_folder / f"{first}"
        ledger = lay(folder)
        disk = FailingDisk(folder)
        disk.arm(first, first + length - 1, OSError(errno.ENOSPC, "No space left on device"))
        with suppress(StoreUnavailable), _noted(f"call {first} failed"):
            kill(open_queue(folder, disk))
        hits = disk.hits
        recovered = recover_twice(folder)
        assert not [*recovered.problems, *ledger.problems(recovered.tasks)], f"call {first} failed"


@pytest.mark.parametrize("length", [1, 3, 10, 40])
def test_reports_errors_to_callers_and_keeps_events_while_the_disk_fails_now_and_then(
    length: int, memory_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camiohookd.queue.store_thread.RETRY_SECONDS", (0.001,))
    folder = memory_folder / "state"
    disk = FailingDisk(folder)
    queue = open_queue(folder, disk)
    kept = asyncio.run(_crowd_on_a_failing_disk(queue, disk, length))
    assert disk.hits
    recovered = recover_twice(folder)
    assert not recovered.problems
    assert {digest: seen for digest, (_, seen) in recovered.tasks.items()} == kept


async def _crowd_on_a_failing_disk(queue: TaskQueue, disk: FailingDisk, length: int) -> dict[str, Seen]:
    """Take events from 200 to done while the disk fails now and then; return the expected tasks."""
    store = StoreThread(queue)

    async def life(number: int) -> None:
        name = f"event {number}"
        await asyncio.sleep(number / 1000)
        if number % 4 == 0:
            disk.arm(3, 2 + length, OSError(errno.EIO, "Input/output error"))
        while True:
            try:
                receipt = await asyncio.wait_for(store.call(lambda queue: queue.put(event(name))), 30)
                break
            except StoreUnavailable:
                await asyncio.sleep(0.001)
        task_id = int(receipt.id)
        await asyncio.wait_for(store.persist(lambda queue: queue.labelled(task_id, reply(name))), 30)
        await asyncio.wait_for(store.persist(lambda queue: queue.deliveries.done(task_id)), 30)

    await asyncio.gather(*(life(number) for number in range(12)))
    disk.heal()
    await asyncio.to_thread(store.stop)
    return {digest_of(f"event {number}"): ("done",) for number in range(12)}
