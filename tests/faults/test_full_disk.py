"""Use a disk that is really full or read-only: events are refused, nothing crashes, work resumes once there is room.

The disk is a mounted ext4 image of 64 MB, or a tmpfs of that size if loop mounts are not allowed. If neither is allowed
(not root, or a container without the right to mount), a `Disk` that counts bytes is used, and the end of the run says
so.
"""

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import journal, segments
from camiohookd.wire.event import Event
from tests.faults.model import event, kill, open_queue, reply, see_all
from tests.faults.recording import MortalDisk
from tests.faults.small_disk import CANNOT_MOUNT, MB, MOUNTS, SmallDisk, mounted, run
from tests.support.queue_factory import accept

PICTURE = 400_000


class CountingDisk(MortalDisk):
    """A disk that refuses writes beyond 64 MB in the folder `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def write(self, fd: int, data: bytes | bytearray) -> None:
        room = self.free_bytes(self._path)
        super().write(fd, data[:room])
        if room < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def free_bytes(self, path: Path) -> int:
        """Return the free bytes as a real disk does: holes in files take no room."""
        used = sum(512 * file.stat().st_blocks for file in self._path.rglob("*") if file.is_file())
        return max(0, 64 * MB - used)


@pytest.fixture
def small_disk(tmp_path: Path, not_tested: Callable[[str], None]) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    for kind in MOUNTS:
        with ExitStack() as mounts:
            try:
                disk = mounts.enter_context(mounted(path, kind))
            except (OSError, subprocess.CalledProcessError):
                continue
            yield disk
            return
    not_tested(f"a full disk of its own instead of one that only counts, because {CANNOT_MOUNT}")
    path.mkdir(exist_ok=True)
    simulated = SmallDisk(path, "simulated")
    simulated.disk = CountingDisk(path)
    yield simulated


def _big(name: str) -> Event:
    return event(name, size=PICTURE)


def _put(queue: TaskQueue, name: str) -> str:
    return str(accept(queue, _big(name)))


def _fill_the_queue(queue: TaskQueue) -> tuple[list[str], QueueFull | StoreUnavailable]:
    """Put events until one is refused; return the accepted names, and the refusal."""
    accepted: list[str] = []
    while True:
        try:
            _put(queue, f"event {len(accepted)}")
        except (QueueFull, StoreUnavailable) as error:
            return accepted, error
        accepted.append(f"event {len(accepted)}")
        assert len(accepted) < 500


def _expect_all(queue: TaskQueue, names: list[str]) -> None:
    found = see_all(queue)
    for name in names:
        expected = _big(name)
        assert found[expected.digest][1] == ("pending", expected.pictures)


def test_refuses_events_while_the_disk_is_full_and_accepts_them_again_once_there_is_room(small_disk: SmallDisk) -> None:
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(max_bytes=1 << 40, min_free_bytes=20 * MB))
    small_disk.fill(leave=25 * MB)
    accepted, refusal = _fill_the_queue(queue)
    assert len(accepted) > 5
    assert isinstance(refusal, QueueFull)
    assert refusal.retry_after >= 1
    small_disk.empty()
    assert _put(queue, "after").isdigit()
    queue.close()
    queue = open_queue(folder, small_disk.disk)
    _expect_all(queue, [*accepted, "after"])
    queue.close()


def test_a_disk_filled_by_another_program_loses_no_accepted_event(small_disk: SmallDisk) -> None:
    """Another program fills the disk completely, faster than the bound can react."""
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(max_bytes=1 << 40, min_free_bytes=0))
    accepted = [f"first {number}" for number in range(4)]
    for name in accepted:
        _put(queue, name)
    small_disk.fill(leave=3 * PICTURE)
    more, _ = _fill_the_queue(queue)
    small_disk.fill(leave=0)
    for number in range(3):
        with pytest.raises((QueueFull, StoreUnavailable)):
            _put(queue, f"refused {number}")
        queue.undo()
    _expect_all(queue, [*accepted, *more])
    small_disk.empty()
    _put(queue, "after")
    queue.close()
    queue = open_queue(folder, small_disk.disk)
    assert len(see_all(queue)) == len(accepted) + len(more) + 1
    _expect_all(queue, [*accepted, *more, "after"])
    queue.close()


def test_a_full_disk_at_stop_and_start_loses_nothing(small_disk: SmallDisk) -> None:
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(min_free_bytes=0))
    accepted = [f"event {number}" for number in range(5)]
    for name in accepted:
        _put(queue, name)
    small_disk.fill(leave=0)
    queue.close()
    with suppress(StoreUnavailable):  # it may also open: a few free bytes in the last block may suffice
        open_queue(folder, small_disk.disk).close()
    small_disk.empty()
    queue = open_queue(folder, small_disk.disk)
    _expect_all(queue, accepted)
    queue.close()


def test_deletes_kept_pictures_before_refusing_an_event(small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 2 * MB)
    folder = small_disk.path / "state"
    bounds = Bounds(max_bytes=1 << 40, min_free_bytes=20 * MB)
    queue = open_queue(folder, small_disk.disk, bounds=bounds)
    failed = [int(_put(queue, f"failed {number}")) for number in range(30)]
    fresh = [f"fresh {number}" for number in range(10)]
    for name in fresh:
        _put(queue, name)
    with queue.batch():
        for task_id in failed:
            queue.fail(task_id, Cause.LABELING, "no model")
        queue.commit()
    small_disk.fill(leave=21 * MB)
    accepted, refusal = _fill_the_queue(queue)
    assert isinstance(refusal, QueueFull)
    assert len(accepted) > 20
    kept = [task_id for task_id in failed if queue.get(task_id).payload is not None]
    assert len(kept) < 5, "only those that share a segment with a waiting event"
    assert all(queue.get(task_id).reason == "no model" for task_id in failed)
    _expect_all(queue, [*fresh, *accepted])
    queue.close()


def test_a_disk_that_turns_read_only_loses_nothing_when_it_is_mounted_again(small_disk: SmallDisk) -> None:
    """Linux never makes such a file system writable again. The way back is tested with `FailingDisk`."""
    if small_disk.kind != "ext4":
        pytest.skip(f"NOT TESTED: a disk that turns itself read-only while files are open, because {CANNOT_MOUNT}")
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(min_free_bytes=0))
    _put(queue, "before")
    small_disk.fail()
    for number in range(3):
        with pytest.raises(StoreUnavailable):
            _put(queue, f"refused {number}")
        queue.undo()
    assert queue.store.health.trouble
    _expect_all(queue, ["before"])
    queue.close()
    small_disk.disk.die()
    small_disk.mount_again()
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(min_free_bytes=0))
    _put(queue, "after")
    assert queue.store.health.trouble is None
    assert len(see_all(queue)) == 2
    _expect_all(queue, ["before", "after"])
    queue.close()


@pytest.mark.parametrize("kind", MOUNTS)
def test_opens_a_folder_with_everything_after_it_was_read_only(kind: str, tmp_path: Path) -> None:
    """The owner makes the disk read-only, which Linux allows only while the daemon is stopped."""
    with ExitStack() as mounts:
        try:
            disk = mounts.enter_context(mounted(tmp_path / "disk", kind))
        except (OSError, subprocess.CalledProcessError):
            pytest.skip(f"NOT TESTED: the way back from a read-only {kind}, because {CANNOT_MOUNT}")
        folder = disk.path / "state"
        queue = open_queue(folder, disk.disk, bounds=Bounds(min_free_bytes=0))
        _put(queue, "before")
        with pytest.raises(subprocess.CalledProcessError, match="exit status 32"):  # exit status of umount for "busy"
            disk.remount("ro")
        kill(queue)
        disk.remount("ro")
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="Read-only file system"):
                open_queue(folder, disk.disk)
        disk.remount("rw")
        queue = open_queue(folder, disk.disk, bounds=Bounds(min_free_bytes=0))
        _put(queue, "after")
        _expect_all(queue, ["before", "after"])
        queue.close()


def test_uses_a_disk_again_without_a_restart_after_it_refused_every_write(small_disk: SmallDisk) -> None:
    """The kernel refuses writes to open files, as on a read-only disk, and later accepts them again."""
    if small_disk.kind != "ext4":
        pytest.skip(f"NOT TESTED: a disk that refuses every write for a while, because {CANNOT_MOUNT}")
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(min_free_bytes=0))
    _put(queue, "before")
    written = [path for path in folder.rglob("*") if path.is_file()]
    run("chattr", "+i", *map(str, [*written, folder, folder / "segments"]))
    for number in range(3):
        with pytest.raises(StoreUnavailable):
            _put(queue, f"refused {number}")
        queue.undo()
    assert queue.store.health.trouble
    _expect_all(queue, ["before"])
    run("chattr", "-i", *map(str, [*written, folder, folder / "segments"]))
    _put(queue, "after")
    assert queue.store.health.trouble is None
    queue.close()
    queue = open_queue(folder, small_disk.disk)
    _expect_all(queue, ["before", "after"])
    assert len(see_all(queue)) == 2
    queue.close()


def test_a_disk_that_another_program_fills_while_the_journal_is_compacted_loses_nothing(
    small_disk: SmallDisk, long_run: bool
) -> None:
    """The disk is full after some steps of the new snapshot; no bytes or a few are left."""
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(max_bytes=1 << 40, min_free_bytes=0))
    names = [f"event {number}" for number in range(150)]
    for name in names:
        accept(queue, event(name))
    storage = queue.store.storage
    for steps in range(4) if long_run else (2,):
        for leave in (0, 5000) if long_run else (0,):
            for _ in range(steps):
                assert not storage.compact_step(8000)
            small_disk.fill(leave)
            with pytest.raises(OSError, match="No space left"):
                while not storage.compact_step(8000):
                    pass
            assert len(journal.numbers(folder)) <= 2
            small_disk.empty()
    accept(queue, event("after"))
    kill(queue)
    queue = open_queue(folder, small_disk.disk)
    assert set(see_all(queue)) == {event(name).digest for name in (*names, "after")}
    queue.store.storage.compact()
    assert [path.name for path in folder.glob("queue.json*")] == ["queue.json"]
    assert len(journal.numbers(folder)) == 1
    queue.close()


def test_the_whole_queue_survives_a_full_disk(small_disk: SmallDisk) -> None:
    folder = small_disk.path / "state"
    queue = open_queue(folder, small_disk.disk, bounds=Bounds(max_bytes=1 << 40, min_free_bytes=0))
    asyncio.run(_fill_and_empty(queue, small_disk))
    queue = open_queue(folder, small_disk.disk)
    assert {seen for _, seen in see_all(queue).values()} == {("done",)}
    queue.close()


async def _fill_and_empty(queue: TaskQueue, small_disk: SmallDisk) -> None:
    """Send more events than fit, from senders that try again, while the disk is filled and emptied."""
    store = StoreThread(queue)
    refused = 0

    async def life(name: str) -> None:
        nonlocal refused
        while True:
            try:
                receipt = await asyncio.wait_for(store.call(lambda queue: queue.put(_big(name))), 60)
                break
            except (QueueFull, StoreUnavailable):
                refused += 1
                await asyncio.sleep(0.01)
        await store.persist(lambda queue: queue.labelled(int(receipt.id), reply(name)))
        await store.persist(lambda queue: queue.deliveries.done(int(receipt.id)))

    small_disk.fill(leave=2 * PICTURE)
    lives = [asyncio.create_task(life(f"event {number}")) for number in range(30)]
    while not refused:
        await asyncio.sleep(0.01)
    small_disk.empty()
    await asyncio.wait_for(asyncio.gather(*lives), 120)
    await asyncio.to_thread(store.stop)
