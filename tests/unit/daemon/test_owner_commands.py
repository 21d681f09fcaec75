"""What the owner does to the queue is published to those who watch events."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from camiohookd.daemon.owner_commands import perform
from camiohookd.errors import WrongState
from camiohookd.monitoring.activity import Activity, EventDropped, EventRetried, Occurrence
from camiohookd.queue import commands
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Cause
from camiohookd.queue.task_queue import TaskQueue
from tests.support.queue_factory import make_event


def _fail_new(queue: TaskQueue, number: int) -> None:
    queue.put(make_event(number))
    queue.fail(number, Cause.LABELING, "it broke")


def test_publishes_which_events_are_tried_again_and_which_are_dropped(tmp_path: Path) -> None:
    told: list[Occurrence] = []
    activity = Activity()
    activity.subscribe(told.append)

    async def use(store: StoreThread) -> None:
        for number in (1, 2, 3):
            await store.call(partial(_fail_new, number=number))
        await perform(store, activity, commands.RetryTask("2"))
        await perform(store, activity, commands.RetryFailed())
        with pytest.raises(WrongState):
            await perform(store, activity, commands.RetryTask("2"))
        await perform(store, activity, commands.DropTask("3"))
        await perform(store, activity, commands.ListTasks())
        await asyncio.to_thread(store.stop)

    async def run() -> None:
        await use(StoreThread(TaskQueue(tmp_path, backoff=lambda _: 1.0)))

    asyncio.run(run())
    assert [(type(each), each.task_id) for each in told] == [
        (EventRetried, "2"),
        (EventRetried, "1"),
        (EventRetried, "3"),
        (EventDropped, "3"),
    ]
