"""Compactions that fail, fifty in a row: they add one journal, wait a minute between tries, and nothing is lost."""

import errno
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from camiohookd.queue.compaction import PAUSE_AFTER_FAILURE
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import journal, table_files, tinydb_storage
from tests.faults.exploring import Explorer, Tally, expect_none
from tests.faults.model import Driver, see_all
from tests.faults.recording import FailingDisk
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import HandClock, accept, commit, crash, make_event, open_queue

TRIES = 50
PHASES = [
    ("open", "queue.journal"),
    ("write", "queue.journal"),
    ("sync", "queue.journal"),
    ("sync_folder", ""),
    ("unlink", "queue.json.new"),
    ("open", "queue.json.new"),
    ("write", "queue.json.new"),
    ("sync", "queue.json.new"),
    ("rename", "queue.json"),
    ("unlink", "queue.journal"),
]

Refuse = Callable[[str, Path], OSError | None]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 1000)
    monkeypatch.setattr(tinydb_storage, "STEP_BYTES", 500)


class _Box:
    """A queue that is changed all the time, on a disk that refuses one call of a compaction."""

    def __init__(self, folder: Path, call: str, name: str) -> None:
        self.folder = folder
        self.disk = CountingDisk()
        self.clock = HandClock()
        self.failures = 0
        self._phase = call, name
        self._number = 0
        self.start()

    def start(self) -> None:
        self.queue: TaskQueue = open_queue(self.folder, disk=self.disk, clock=self.clock)
        self._keeper = Housekeeper(self.queue)

    def refuse(self, call: str, path: Path) -> OSError | None:
        if call != self._phase[0] or not path.name.startswith(self._phase[1]):
            return None
        self.failures += 1
        return OSError(errno.EIO, "Input/output error")

    def keep_house(self, refuse: Refuse) -> None:
        """Keep house a minute later, until there is nothing more to do."""
        self.clock.tick(PAUSE_AFTER_FAILURE + 1)
        self.disk.fails = refuse
        while self._keeper.step():
            pass
        self.disk.fails = lambda *_: None

    def fail_once(self) -> None:
        """Have a compaction fail, and see that the next one waits for a minute."""
        self.failures = 0
        self.keep_house(self.refuse)
        assert self.failures > 0, f"no compaction came to {self._phase}"
        assert self.queue.store.storage.files.wants_compaction()
        self.disk.calls.clear()
        for _ in range(10):
            self._keeper.step()
        begun = self.disk.calls["open"] + self.disk.calls["unlink"]  # a compaction begins with either
        assert begun == 0, "the next try does not wait"

    def change(self) -> None:
        """Take in two events, and drop one of them."""
        accept(self.queue, make_event(self._number))
        dropped = accept(self.queue, make_event(self._number + 1))
        commit(self.queue, lambda queue: queue.drop(dropped))
        self._number += 2

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("queue.*"))

    def journals(self) -> int:
        return len(journal.numbers(self.folder))

    def expect_everything(self) -> None:
        """Expect what was taken in, and the bytes of all files counted."""
        found = {digest: seen for digest, (_, seen) in see_all(self.queue).items()}
        events = [make_event(number) for number in range(0, self._number, 2)]
        assert found == {event.digest: ("pending", event.pictures) for event in events}
        counted = [path for path in self.folder.rglob("*")
                   if path.is_file() and path.name not in ("lock", "format", "queue.json.new")]  # fmt: skip
        assert self.queue.store.bytes_used == sum(path.stat().st_size for path in counted)


@pytest.mark.parametrize("restarts", [False, True], ids=["one run", "a kill after each"])
@pytest.mark.parametrize(("call", "name"), PHASES)
def test_fifty_compactions_that_fail_leave_one_journal_more_and_lose_nothing(
    call: str, name: str, restarts: bool, memory_folder: Path
) -> None:
    box = _Box(memory_folder / "state", call, name)
    for _ in range(20):
        box.change()
    for _ in range(TRIES):
        box.fail_once()
        assert box.journals() <= 2
        assert len(box.files()) <= 4, "a snapshot, at most one that is not complete, and the journals"
        if restarts:
            crash(box.queue)
            box.start()
        box.change()
    crash(box.queue)
    box.start()
    box.expect_everything()
    for _ in range(2):  # the first goes on with a journal that has become long, the second begins a new one
        box.keep_house(lambda *_: None)
    assert not box.queue.store.storage.files.wants_compaction()
    assert box.journals() == 1
    assert "queue.json.new" not in box.files()
    box.expect_everything()
    crash(box.queue)
    box.start()
    box.expect_everything()
    crash(box.queue)


def test_a_journal_that_is_damaged_is_left_behind_by_the_next_compaction(memory_folder: Path) -> None:
    """Also after a compaction that failed: the next one does not go on with it."""
    box = _Box(memory_folder / "state", "rename", "queue.json")
    for _ in range(20):
        box.change()
    box.fail_once()
    box.change()
    crash(box.queue)
    last = journal.path_of(memory_folder / "state", 2)
    last.write_bytes(last.read_bytes().replace(b'["note"', b'["nota"', 1))
    box.start()
    box.keep_house(lambda *_: None)
    assert journal.numbers(memory_folder / "state") == [3]
    box.expect_everything()
    crash(box.queue)


def test_a_stop_after_a_compaction_that_failed_keeps_what_was_noted_since(memory_folder: Path) -> None:
    """Ids that refused events took are not assigned again, and their records not taken for lost events."""
    box = _Box(memory_folder / "state", "rename", "queue.json")
    for _ in range(20):
        box.change()
    box.fail_once()
    refused = [box.queue.store.table.take_id() for _ in range(3)]
    box.queue.close()
    box.start()
    assert accept(box.queue, make_event(1000)) > max(refused)
    crash(box.queue)


@pytest.mark.parametrize(("length", "some"), [(1, (3, 15)), (2, (8,))])
def test_a_power_cut_after_compactions_that_failed_loses_nothing(
    length: int, some: tuple[int, ...], memory_folder: Path, workshop: Path, tally: Tally, long_run: bool
) -> None:
    """Fail each call of a compaction in turn (in the bounded run: `some`), make changes, and cut the power anywhere."""
    explorer = Explorer(workshop, tally, lambda count: [count // 2])
    for first in range(1, 40) if long_run else some:
        disk = FailingDisk(memory_folder / f"{first}")
        driver = Driver(memory_folder / f"{first}", disk)
        driver.put("a", "b", "c")
        driver.claim("a", "b")
        for failure in (first, first + 1):
            disk.arm(failure, failure + length - 1, OSError(errno.EIO, "Input/output error"))
            with suppress(OSError):
                _compact(driver)
            disk.heal()
            driver.put(f"after {failure}")
        driver.labelled("a")
        driver.drop("b")
        _compact(driver)
        driver.done("a")
        expect_none(explorer.explore(disk))
        assert len(journal.numbers(memory_folder / f"{first}")) <= 2


def _compact(driver: Driver) -> None:
    while not driver.queue.store.storage.compact_step(200):
        pass
