"""Makes the history of the status page from the settings, and connects it with the queue and the labeler."""

import os
import time
from collections.abc import Mapping

from camiohookd.config import paths
from camiohookd.config.load import Config
from camiohookd.errors import NoSuchTask
from camiohookd.labelers import Labeler
from camiohookd.monitoring.history.archive import Archive
from camiohookd.monitoring.history.history import History
from camiohookd.monitoring.history.records import Step
from camiohookd.monitoring.history.trends import Sample
from camiohookd.monitoring.history.waiting import Job
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.memory import MemoryBudget
from camiohookd.pictures.thumbnail import thumbnail
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import WAITING, State, Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system.disk import Disk


def make_history(
    config: Config, store: StoreThread, labeler: Labeler, metrics: Metrics, limits: PictureLimits, budget: MemoryBudget
) -> History:
    """Return the history in the state folder, to be started. Thumbnails take their memory from `budget`."""
    keep = config.admin.history

    def open_archive() -> Archive:
        folder = paths.state_dir(os.environ) / "history"
        return Archive(folder, keep, disk=Disk(), min_free_bytes=config.queue.min_free_bytes)

    def make(job: Job) -> bytes:
        return thumbnail(job.file, (job.width, job.height), job.side, limits, budget)

    def sample() -> Sample:
        return Sample(_waiting(store), labeler.device, metrics.is_degraded())

    async def settled(task_ids: list[int]) -> Mapping[int, Step | None]:
        return await store.call(lambda queue: _settled(queue, task_ids))

    return History(
        open_archive,
        make,
        keep=keep,
        busy=lambda: store.snapshot.tasks[State.PENDING] > 0,
        sample=sample,
        settled=settled,
    )


def _waiting(store: StoreThread) -> int:
    tasks = store.snapshot.tasks
    return tasks[State.PENDING] + tasks[State.LABELLED]


def _settled(queue: TaskQueue, task_ids: list[int]) -> Mapping[int, Step | None]:
    """Return what has become of events that do not wait any more; None for those that the queue has forgotten."""
    found: dict[int, Step | None] = {}
    for task_id in task_ids:
        try:
            task = queue.get(task_id)
        except NoSuchTask:
            found[task_id] = None
        else:
            if task.state not in WAITING:
                found[task_id] = _step(task)
    return found


def _step(task: Task) -> Step:
    """Return the end of a task as a step, dated with the present time."""
    if task.state is State.DONE:
        return Step(what="done", at=time.time(), camera=task.camera)
    return Step(what="failed", at=time.time(), camera=task.camera, cause=str(task.cause or ""), reason=task.reason)
