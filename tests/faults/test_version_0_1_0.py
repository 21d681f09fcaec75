"""Read a state folder of version 0.1.0 and migrate it to today's format, also through crashes.

The files in version_0_1_0/ were written by that version (commit 89a88da) with its tests.faults.model::

    driver.put("pending in the snapshot", "labelled in the snapshot", "failed", "refused", "done", "labelled twice")
    driver.labelled("labelled in the snapshot", "refused", "done", "labelled twice")
    driver.retry("labelled twice")
    driver.done("done")
    driver.fail("failed", "the labeler broke")
    driver.fail("refused", "it answered 410")
    while not driver.queue.storage.compact_step():
        pass
    driver.put("pending in the journal", "labelled in the journal", "in hand")
    driver.labelled("labelled in the journal")
    driver.retry("labelled in the journal")
    driver.claim("pending in the snapshot")
    kill(driver.queue)
"""

import logging
import shutil
from pathlib import Path

import pytest

from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task import Cause
from tests.faults.crashes import some_bytes
from tests.faults.exploring import Explorer, Tally, expect_none
from tests.faults.model import Acknowledged, Seen, digest_of, event, kill, open_queue, plain, reply, see_all
from tests.faults.recording import RecordingDisk

WRITTEN = Path(__file__).parent / "version_0_1_0"

PENDING = ["pending in the snapshot", "pending in the journal", "in hand"]
EXPECTED: dict[str, Seen] = {
    **{name: ("pending", event(name).pictures) for name in PENDING},
    "labelled in the snapshot": ("labelled", plain(reply("labelled in the snapshot")), 0, 0.0, None),
    "labelled twice": ("labelled", plain(reply("labelled twice")), 1, 5.0, None),
    "labelled in the journal": ("labelled", plain(reply("labelled in the journal")), 1, 5.0, None),
    "failed": ("failed", Cause.LABELING, "the labeler broke", event("failed").pictures, None),
    "refused": ("failed", Cause.LABELING, "it answered 410", None, plain(reply("refused"))),
    "done": ("done",),
}
BY_DIGEST = {digest_of(name): seen for name, seen in EXPECTED.items()}


@pytest.fixture
def folder(memory_folder: Path) -> Path:
    copied = memory_folder / "state"
    shutil.copytree(WRITTEN, copied)
    return copied


def test_finds_every_task_with_its_pictures_and_labels(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    queue = open_queue(folder)
    assert {digest: seen for digest, (_, seen) in see_all(queue).items()} == BY_DIGEST
    assert queue.store.index.suspects.first() == 1, "it was in hand when the last run was killed"
    assert "moved the labels of 4 tasks" in caplog.text
    assert (folder / "format").read_text() == "3\n"
    kill(queue)


def test_the_next_compaction_removes_the_labels_from_the_documents(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queue = open_queue(folder)
    keeper = Housekeeper(queue)
    while keeper.step():
        pass
    assert b'"labels"' not in b"".join(path.read_bytes() for path in folder.glob("queue*"))
    kill(queue)
    caplog.clear()
    queue = open_queue(folder)
    assert "moved the labels" not in caplog.text
    assert {digest: seen for digest, (_, seen) in see_all(queue).items()} == BY_DIGEST
    queue.close()


def test_a_power_cut_at_any_write_loses_nothing(folder: Path, workshop: Path, tally: Tally) -> None:
    disk = RecordingDisk(folder)
    disk.mark(Acknowledged(dict(BY_DIGEST), {}))
    queue = open_queue(folder, disk)
    keeper = Housekeeper(queue)
    while keeper.step():
        pass
    kill(queue)
    expect_none(Explorer(workshop, tally, some_bytes).explore(disk))
