"""Make from the settings what takes long, before the event loop runs: the labeler and the queue."""

import os
import time

from camiohookd.config import paths
from camiohookd.config.load import Config
from camiohookd.labelers.open import OpenedChain, open_chain
from camiohookd.labelers.taught.open import with_taught
from camiohookd.monitoring.activity import Activity, EventFailed
from camiohookd.monitoring.metrics import Metrics
from camiohookd.next_try import Backoff
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.task import Cause, Task
from camiohookd.queue.task_queue import TaskQueue


def load_labeler(config: Config, metrics: Metrics) -> OpenedChain:
    """Load and warm up the labelers; return them and how many threads should call them. Raises SetupError."""
    state = paths.state_dir(os.environ)
    chain, threads = open_chain(config.labelers, state, lambda degraded: metrics.degraded.set(degraded), metrics)
    return OpenedChain(with_taught(chain, config.labelers, state), threads)


def open_queue(config: Config, metrics: Metrics, activity: Activity) -> TaskQueue:
    """Open the queue in the state folder. Raises StateFolderError, StateFolderBusy, StoreUnavailable."""
    queue, callback = config.queue, config.callback

    def on_failed(task: Task, cause: Cause, reason: str) -> None:
        metrics.tasks_failed.labels(cause.value).inc()
        activity.publish_soon(EventFailed(task.id, task.camera, time.time(), cause.value, reason))

    return TaskQueue(
        paths.state_dir(os.environ),
        backoff=Backoff(callback.retry_min, callback.retry_max),
        bounds=Bounds(
            max_tasks=queue.max_tasks,
            max_bytes=queue.max_bytes or None,
            min_free_bytes=queue.min_free_bytes,
            max_age=queue.max_age,
            done_keep=queue.done_keep,
            failed_keep=queue.failed_keep,
            max_done=queue.max_done,
            max_failed=queue.max_failed,
        ),
        newest_first=queue.order == "newest",
        fair=queue.fair,
        on_failed=on_failed,
    )
