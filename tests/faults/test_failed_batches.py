"""A batch of many callers in which the disk fails: each is told the truth, and all goes on without a restart.

The batch has callers of every kind, finds no room at first, and is followed by housekeeping and a compaction. Each call
that these make of the disk fails in turn.
"""

import copy
import errno
import os
import shutil
from pathlib import Path

import pytest

from camiohookd.storage import segments, table_files, tinydb_storage
from tests.faults.busy_queue import BusyQueue, problems_after_a_kill
from tests.faults.callers import LATER, ROOM
from tests.faults.exploring import Explorer, Tally, expect_none
from tests.faults.model import kill

ERRORS = [(errno.ENOSPC, 0.5), (errno.EIO, 0.0), (errno.ENOSPC, 0.0), (errno.EIO, 1.0), (errno.EROFS, 0.0)]
"""The error of a call, and how much of its bytes a write has written before."""


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 500)
    monkeypatch.setattr(table_files, "MIN_JOURNAL_BYTES", 1500)
    monkeypatch.setattr(tinydb_storage, "STEP_BYTES", 1000)


@pytest.fixture(scope="module")
def explorer(workshop: Path, tally: Tally) -> Explorer:
    return Explorer(workshop, tally, lambda length: [length // 2])


def fail_calls(folder: Path, first: int, length: int, *, order: int = 0, suspect: bool = False, kind: int = 0) -> None:
    """Run the batch while `length` calls fail from `first` on, and check everything."""
    crowd = BusyQueue(folder, suspect=suspect)
    callers = crowd.batch(order)
    code, part = ERRORS[(first + kind) % len(ERRORS)]
    crowd.disk.arm(first, first + length - 1, OSError(code, os.strerror(code)), part)
    refused = crowd.run_short_of_room(callers)
    crowd.disk.heal()
    crowd.check(landed=[13] if refused else [])
    assert not problems_after_a_kill(crowd, folder.with_suffix(".copy"))
    crowd.do(*refused)
    crowd.check()
    crowd.finish()
    crowd.reopen_after_a_kill()
    crowd.check()
    crowd.finish_again()
    kill(crowd.queue)


def count_calls(folder: Path, order: int, suspect: bool) -> int:
    """Return how often the batch and the housekeeping after it call the disk when nothing fails."""
    crowd = BusyQueue(folder, suspect=suspect)
    crowd.disk.heal()
    assert not crowd.run_short_of_room(crowd.batch(order))
    assert crowd.deleted_pictures() > 0, "room was made"
    assert crowd.queue.get(crowd.id_of(LATER)).state == "failed"
    assert (folder / "queue.json").exists(), "a compaction was made"
    assert crowd.told[ROOM] is not None
    crowd.check()
    return crowd.disk.calls


@pytest.mark.parametrize("suspect", [False, True], ids=["", "a suspect in hand"])
@pytest.mark.parametrize(("order", "length", "stride"), [(0, 1, 2), (1, 1, 5), (2, 2, 7), (3, 6, 9), (4, 25, 11)])
def test_every_caller_gets_a_true_answer_and_the_queue_works_on_without_a_restart(
    order: int, length: int, stride: int, suspect: bool, memory_folder: Path, long_run: bool
) -> None:
    """`length` calls fail, from each (in the bounded run: each `stride`th) call on; `order` is that of the callers."""
    calls = count_calls(memory_folder / "counted", order, suspect)
    for first in range(1, calls + 1, 1 if long_run else stride):
        for kind in range(len(ERRORS)) if long_run else [0]:
            try:
                fail_calls(memory_folder / "state", first, length, order=order, suspect=suspect, kind=kind)
            except BaseException as error:
                error.add_note(f"calls {first} to {first + length - 1} of {calls} failed, error {kind}")
                raise
            shutil.rmtree(memory_folder / "state")


@pytest.mark.parametrize("order", [0, 5])
def test_a_power_cut_anywhere_in_a_batch_that_fails_and_is_repeated_loses_nothing(
    order: int, memory_folder: Path, explorer: Explorer, long_run: bool
) -> None:
    calls = count_calls(memory_folder / "counted", order, suspect=False)
    for first in range(1, calls + 1) if long_run else [9 + 3 * order]:
        crowd = BusyQueue(memory_folder / "state")
        callers = crowd.batch(order)
        crowd.disk.begin_anew()
        before = copy.deepcopy(crowd.ledger)
        crowd.disk.arm(first, first, OSError(errno.EIO, os.strerror(errno.EIO)))
        refused = crowd.run_short_of_room(callers)
        crowd.disk.heal()
        crowd.do(*refused)
        expect_none(explorer.explore(crowd.disk, before))
        kill(crowd.queue)
        shutil.rmtree(memory_folder / "state")
