"""Give back tasks in hand that no loop holds, and do not touch those that a loop holds."""

import asyncio
import logging
import math
from pathlib import Path

import pytest

from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.holdings import given_out
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import DueDelivery, Task
from camiohookd.worker.ownership import OwnershipCheck
from camiohookd.worker.polling import Loops
from tests.support.queue_factory import REPLY, make_event, open_queue


def test_gives_back_and_reports_a_leaked_task_at_the_second_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        store = StoreThread(open_queue(tmp_path))
        stopping, metrics = asyncio.Event(), Metrics()

        async def find_nothing() -> tuple[None, float]:
            return None, math.inf

        async def do(_item: object) -> tuple[None, float]:
            return None, math.inf

        labels: Loops[Task] = Loops(1, find_nothing, do, stopping)
        deliveries: Loops[DueDelivery] = Loops(1, find_nothing, do, stopping)
        check = OwnershipCheck(store, labels, deliveries, metrics)
        first = await store.call(lambda queue: queue.put(make_event(1)))
        await store.call(lambda queue: queue.labelled(int(first.id), REPLY))
        await store.call(lambda queue: queue.put(make_event(2)))
        assert await store.call(lambda queue: queue.deliveries.take()) is not None
        assert await store.call(lambda queue: queue.claim()) is not None

        await check.check()
        assert len(await store.call(given_out)) == 2, "they may be on their way to a loop"
        await check.check()
        assert not await store.call(given_out)
        assert metrics.registry.get_sample_value("camiohookd_tasks_leaked_total") == 2
        assert await store.call(lambda queue: queue.claim()) is not None
        assert await store.call(lambda queue: queue.deliveries.take()) is not None
        await asyncio.to_thread(store.stop)

    asyncio.run(scenario())
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


def test_does_not_touch_a_task_that_a_loop_holds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        store = StoreThread(open_queue(tmp_path))
        stopping, finish = asyncio.Event(), asyncio.Event()
        await store.call(lambda queue: queue.put(make_event(1)))

        async def claim() -> tuple[Task | None, float]:
            return await store.call(lambda queue: queue.claim()), math.inf

        async def work(_task: Task) -> tuple[None, float]:
            await finish.wait()
            return None, math.inf

        async def find_nothing() -> tuple[None, float]:
            return None, math.inf

        async def deliver(_delivery: DueDelivery) -> tuple[None, float]:
            return None, math.inf

        labels = Loops(1, claim, work, stopping)
        check = OwnershipCheck(store, labels, Loops(1, find_nothing, deliver, stopping), Metrics())
        running = labels.start()
        while not labels.held():
            await asyncio.sleep(0.01)
        for _ in range(3):
            await check.check()
        assert len(await store.call(given_out)) == 1
        stopping.set()
        finish.set()
        await asyncio.wait(running)
        assert not labels.held()
        await asyncio.to_thread(store.stop)

    asyncio.run(scenario())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
