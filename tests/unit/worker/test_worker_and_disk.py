"""The worker's loops on a disk that fails: no task stays in hand or in flight that no loop holds."""

import asyncio
import itertools
from pathlib import Path

import pytest

from camiohookd.errors import StoreUnavailable
from camiohookd.queue.holdings import given_out
from camiohookd.queue.task import Task
from camiohookd.storage.payload_record import StoredPayload
from camiohookd.worker import ownership, polling
from tests.unit.worker.test_worker import PATIENCE, Bench, Labels, _damage_first_record, with_bench

ALWAYS = OSError("No space left on device")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camiohookd.queue.store_thread.RETRY_SECONDS", (0.01,))
    monkeypatch.setattr(polling, "IDLE_SECONDS", 0.01)


def test_a_damaged_payload_fails_its_task_although_the_disk_refuses_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its quarantine shares a batch with what the disk refuses."""

    async def use(bench: Bench) -> None:
        await bench.put("one")
        _damage_first_record(tmp_path)
        loop, read = asyncio.get_running_loop(), bench.store.read_payload

        async def refuse_from_now_on() -> None:
            bench.disk.fails = lambda *_: ALWAYS
            with pytest.raises(StoreUnavailable):
                await bench.store.call(lambda queue: queue.store.note_time())
            bench.disk.calls.clear()

        def refuse_then_read(task: Task) -> StoredPayload:
            if not bench.disk.calls["refused"]:
                asyncio.run_coroutine_threadsafe(refuse_from_now_on(), loop).result(PATIENCE)
                bench.disk.calls["refused"] = 1
            return read(task)

        monkeypatch.setattr(bench.store, "read_payload", refuse_then_read)
        bench.worker.start()
        async with asyncio.timeout(PATIENCE):
            while bench.disk.calls["truncate"] < 3:  # each try repairs the journal first
                await asyncio.sleep(0.01)
        bench.disk.fails = lambda *_: None
        assert (await bench.ended("1")).cause == "damaged"
        assert not await bench.store.call(given_out)

    with_bench(tmp_path, Labels(), use)


@pytest.mark.parametrize("every", [3, 5, 7])
def test_all_events_are_delivered_although_calls_of_the_disk_fail(every: int, tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        calls = itertools.count(1)
        bench.disk.fails = lambda *_: ALWAYS if (call := next(calls)) < 200 and call % every == 0 else None
        bench.worker.start()
        for number in range(8):
            await _put(bench, f"event-{number}")
        async with asyncio.timeout(PATIENCE):
            while bench.store.snapshot.tasks["done"] < 8:
                await asyncio.sleep(0.02)
        bench.disk.fails = lambda *_: None
        async with asyncio.timeout(PATIENCE):
            while await bench.store.call(given_out):
                await asyncio.sleep(0.02)

    with_bench(tmp_path, Labels(), use)


async def _put(bench: Bench, name: str) -> None:
    """As a sender does that is refused: send it again."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await bench.put(name)
            except StoreUnavailable:
                await asyncio.sleep(0.01)


def test_a_task_that_no_loop_holds_is_given_back_while_the_worker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "CHECK_SECONDS", 0.02)

    async def use(bench: Bench) -> None:
        await bench.put("one")
        assert await bench.store.call(lambda queue: queue.claim()) is not None
        bench.worker.start()
        assert (await bench.ended("1")).state == "done"

    with_bench(tmp_path, Labels(), use)
