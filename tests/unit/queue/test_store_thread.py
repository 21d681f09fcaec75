"""The store thread: waiting calls share a commit, and one caller's error does not affect another."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from camiohookd.errors import NoSuchTask, StoreUnavailable
from camiohookd.queue.holdings import given_out
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause, Receipt
from camiohookd.queue.task_queue import TaskQueue
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import REPLY, make_event, open_queue
from tests.support.store_calls import together, while_held


@pytest.fixture
def queue(tmp_path: Path, disk: CountingDisk) -> TaskQueue:
    return open_queue(tmp_path, disk=disk)


@asynccontextmanager
async def running(queue: TaskQueue) -> AsyncIterator[StoreThread]:
    store = StoreThread(queue)
    try:
        yield store
    finally:
        await asyncio.to_thread(store.stop)


def put(number: int) -> Callable[[TaskQueue], Receipt]:
    return lambda queue: queue.put(make_event(number))


def test_a_call_returns_its_result_once_it_is_durable(queue: TaskQueue, disk: CountingDisk) -> None:
    async def scenario() -> None:
        async with running(queue) as store:
            disk.syncs.clear()
            receipt = await store.call(lambda q: q.put(make_event(1)))
            assert receipt[:2] == ("1", False)
            assert disk.syncs == {"segment": 1}
            disk.syncs.clear()
            await store.call(lambda q: q.fail(1, Cause.REFUSED, "410"))
            assert disk.syncs == {"journal": 1}

    asyncio.run(scenario())


def test_fifty_events_that_wait_together_need_one_sync_of_the_segment(queue: TaskQueue, disk: CountingDisk) -> None:
    async def scenario() -> None:
        async with running(queue) as store:
            await store.call(lambda q: q.put(make_event(0)))  # starts the segment
            disk.calls.clear()
            disk.syncs.clear()
            receipts = await together(store, *map(put, range(1, 51)))
            assert len(set(receipts)) == 50
            assert disk.syncs == {"segment": 1}
            assert disk.calls["write"] == 51

    asyncio.run(scenario())


def test_a_failing_operation_does_not_affect_the_others(queue: TaskQueue) -> None:
    def half_done(q: TaskQueue) -> None:
        q.put(make_event(2))
        raise ZeroDivisionError

    async def scenario() -> None:
        async with running(queue) as store:
            outcomes = await together(
                store, lambda q: q.put(make_event(1)), half_done, lambda q: q.drop(99), lambda q: q.put(make_event(3))
            )
            assert [type(outcome).__name__ for outcome in outcomes] == [
                "Receipt", "ZeroDivisionError", "NoSuchTask", "Receipt"
            ]  # fmt: skip
            digests = await store.call(lambda q: [document["digest"] for document in q.store.table.tinydb])
            assert digests == [make_event(1).digest, make_event(3).digest]

    asyncio.run(scenario())


def test_an_operation_that_fails_after_it_took_a_task_holds_none(queue: TaskQueue) -> None:
    def take_and_fail(q: TaskQueue) -> None:
        assert q.claim() is not None
        assert q.deliveries.take() is not None
        raise ZeroDivisionError

    async def scenario() -> None:
        async with running(queue) as store:
            await store.call(lambda q: q.put(make_event(1)))
            await store.call(lambda q: q.labelled(1, REPLY))
            await store.call(lambda q: q.put(make_event(2)))
            _, outcome, _ = await together(store, put(3), take_and_fail, put(4))
            assert isinstance(outcome, ZeroDivisionError)
            assert not await store.call(given_out)
            assert await store.call(lambda q: q.deliveries.take()) is not None

    asyncio.run(scenario())


def test_reports_a_disk_error_to_all_callers_and_recovers_with_the_disk(queue: TaskQueue, disk: CountingDisk) -> None:
    async def scenario() -> None:
        async with running(queue) as store:
            disk.fails = lambda call, _: OSError("full") if call == "sync" else None
            outcomes = await together(store, lambda q: q.put(make_event(1)), lambda q: q.put(make_event(2)))
            assert [type(outcome) for outcome in outcomes] == [StoreUnavailable, StoreUnavailable]
            assert await store.call(lambda q: len(q.store.table.tinydb)) == 0
            disk.fails = lambda *_: None
            assert not (await store.call(lambda q: q.put(make_event(1)))).duplicate

    asyncio.run(scenario())


def test_repeats_a_change_that_must_be_kept_until_the_disk_works(
    queue: TaskQueue, disk: CountingDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter(range(5))
    disk.fails = lambda call, _: OSError("full") if call == "write" and next(refusals, None) is not None else None
    monkeypatch.setattr("camiohookd.queue.store_thread.RETRY_SECONDS", (0.0,))

    async def scenario() -> None:
        async with running(queue) as store:
            assert await store.persist(lambda q: q.put(make_event(1))) is not None
            assert next(refusals, None) is None

    asyncio.run(scenario())


def test_does_not_repeat_a_retry_of_a_task_that_was_dropped(queue: TaskQueue) -> None:
    async def scenario() -> None:
        async with running(queue) as store:
            assert await store.persist(lambda q: q.deliveries.retry(7, "503")) is None
            with pytest.raises(NoSuchTask):
                await store.call(lambda q: q.deliveries.done(7))

    asyncio.run(scenario())


def test_a_canceled_caller_does_not_affect_the_others(queue: TaskQueue) -> None:
    async def scenario() -> None:
        async with running(queue) as store:
            async with while_held(store):
                gone = asyncio.ensure_future(store.call(lambda q: q.put(make_event(1))))
                stays = asyncio.ensure_future(store.call(lambda q: q.put(make_event(2))))
                await asyncio.sleep(0)
                gone.cancel()
            assert not (await stays).duplicate
            assert await store.call(lambda q: len(q.store.table.tinydb)) == 2

    asyncio.run(scenario())


def test_notifies_watchers_of_changes_and_not_of_reads(queue: TaskQueue) -> None:
    heard: list[str] = []

    async def scenario() -> None:
        async with running(queue) as store:
            store.watch(lambda: heard.append(threading.current_thread().name))
            await store.call(lambda q: q.get)
            assert heard == []
            await store.call(lambda q: q.put(make_event(1)))
            assert heard == ["store"]

    asyncio.run(scenario())


def test_a_read_makes_no_disk_call(queue: TaskQueue, disk: CountingDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camiohookd.queue.store_thread.IDLE_SECONDS", 1000.0)
    asked: list[Path] = []

    def free_bytes(path: Path) -> int:
        asked.append(path)
        return 10**12

    async def scenario() -> None:
        async with running(queue) as store:
            monkeypatch.setattr(disk, "free_bytes", free_bytes)
            for _ in range(5):
                await store.call(lambda q: q.get)
            assert asked == []
            await store.call(lambda q: q.put(make_event(1)))
            assert asked
            assert store.snapshot.free_bytes == 10**12

    asyncio.run(scenario())


def test_a_stop_does_all_waiting_calls_and_closes_the_queue_cleanly(
    queue: TaskQueue, tmp_path: Path, disk: CountingDisk
) -> None:
    async def scenario() -> None:
        store = StoreThread(queue)
        calls = [asyncio.ensure_future(store.call(put(n))) for n in range(300)]
        await asyncio.sleep(0)
        store.stop()
        assert len({receipt.id for receipt in await asyncio.gather(*calls)}) == 300

    asyncio.run(scenario())
    again = open_queue(tmp_path, disk=disk)
    assert len(again.store.table.tinydb) == 300


def test_refuses_a_call_after_the_stop(queue: TaskQueue) -> None:
    async def scenario() -> None:
        store = StoreThread(queue)
        store.stop()
        with pytest.raises(StoreUnavailable):
            await store.call(put(1))

    asyncio.run(scenario())


def test_compacts_while_there_are_no_calls(queue: TaskQueue, tmp_path: Path) -> None:
    queue.store.storage.files.must_compact = True

    async def scenario() -> None:
        async with running(queue) as store:
            await store.call(lambda q: q.put(make_event(1)))
            while await store.call(lambda q: q.store.storage.files.wants_compaction()):
                await asyncio.sleep(0)

    asyncio.run(scenario())
