"""The end of a task that cannot be done: an error in the log, and the task is failed, kept for its owner to look at."""

import logging

from camiohookd.storethread import StoreThread
from camiohookd.systemd import escape
from camiohookd.tasks import Cause, Task

log = logging.getLogger("camiohookd.worker")


async def give_up(store: StoreThread, task: Task, cause: Cause, reason: str) -> None:
    log.error("failed task=%s camera=%s: %s", task.id, escape(task.camera or "-"), escape(reason))
    await store.persist(lambda queue: queue.fail(int(task.id), cause, reason))
