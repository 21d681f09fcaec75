"""The only thread that touches the queue: all operations that wait when it wakes share one commit.

    await store.call(operation) ─▶ (waits) ─▶ operations run ─▶ one commit, one fsync ─▶ all callers continue

Between commits, it does housekeeping in small steps.
"""

import asyncio
import logging
import os
import queue as queues
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from camiohookd.errors import QueueError, StoreUnavailable
from camiohookd.queue import views
from camiohookd.queue.batch import BatchEntry, run_together
from camiohookd.queue.housekeeping import Housekeeper
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system.log_fields import about

Result = TypeVar("Result")
Operation = Callable[[TaskQueue], Result]

MAX_BATCH = 256
IDLE_SECONDS = 1.0
RETRY_SECONDS = (0.2, 1.0, 5.0, 15.0)

log = logging.getLogger("camiohookd.queue")


class _Call(BatchEntry):
    """A waiting operation, and the future that its caller awaits."""

    def __init__(self, operation: Operation[Any]) -> None:
        super().__init__(operation)
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def settle(self) -> None:
        """Deliver the outcome, on the loop, unless the caller was canceled.

        Then drop the reference: an error and the frames of its traceback would otherwise keep each other in memory.
        """
        future, error, result = self.future, self.error, self.result
        del self.future, self.error, self.result
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


class StoreThread:
    """Runs operations on a `TaskQueue`, which it now owns. `call` and `persist` belong to the event loop.

    Any thread may call `read_payload`, `read_reply` and `prepare` (see `TaskQueue`), and read `snapshot` (the queue's
    numbers at the last commit) and `trouble` (why an event would be refused now, None if it would be accepted).
    """

    def __init__(self, queue: TaskQueue) -> None:
        self.snapshot = views.snapshot(queue)
        self.read_payload = queue.read_payload
        self.read_reply = queue.read_reply
        self.prepare = queue.prepare
        self.trouble = queue.capacity.refusal()
        self._last_trouble: str | None = None
        self._stopping = False
        self._queue = queue
        self._on_change: Callable[[], None] = lambda: None
        self._housekeeper = Housekeeper(queue)
        self._waiting: queues.SimpleQueue[_Call | None] = queues.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def watch(self, on_change: Callable[[], None]) -> None:
        """Call `on_change`, on the store thread, after every commit that changed something.

        `snapshot` includes the change by then.
        """
        self._on_change = on_change

    async def call(self, operation: Operation[Result]) -> Result:
        """Run `operation` and return its result once it is durable. Raises its errors, or StoreUnavailable."""
        if self._stopping:
            raise StoreUnavailable("the queue is closed: the service stops")
        call = _Call(operation)
        self._waiting.put(call)
        result: Result = await call.future
        return result

    async def persist(self, operation: Operation[Result]) -> Result | None:
        """Like `call`, for a change that must not be lost: repeat it until the disk works.

        Return None if the task no longer exists or is in another state, because the owner has changed it.
        """
        tries = 0
        while True:
            try:
                return await self.call(operation)
            except StoreUnavailable as error:
                delay = RETRY_SECONDS[min(tries, len(RETRY_SECONDS) - 1)]
                log.warning("%s; next try in %g s", error, delay, extra=about("store_failed"))
                tries += 1
                await asyncio.sleep(delay)
            except QueueError as error:
                log.warning("%s", error, extra=about("store_failed"))
                return None

    def stop(self) -> None:
        """Run the waiting operations, then close the queue cleanly. Blocks until that is done."""
        self._stopping = True
        self._waiting.put(None)
        self._thread.join()

    # On the store thread

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException:
            # Memory and disk may differ now, and every caller would wait for ever. Accepted events are on the disk:
            # end like a crash, and let the next start read them.
            log.critical(
                "queue storage failed; exiting so that systemd restarts the service",
                exc_info=True,
                extra=about("store_broken"),
            )
            logging.shutdown()
            os._exit(1)

    def _serve(self) -> None:
        running, busy = True, False
        while running:
            calls = self._take(0.0 if busy else IDLE_SECONDS)
            if calls and calls[-1] is None:
                running = False
            self._commit_together([call for call in calls if call is not None])
            busy = self._keep_house()
            if busy or not calls or self._queue.store.health.trouble != self._last_trouble:
                self._publish()
        self._queue.close()

    def _take(self, patience: float) -> list[_Call | None]:
        """Return all waiting operations, at most `MAX_BATCH`; nothing follows a None."""
        calls: list[_Call | None] = []
        try:
            calls.append(self._waiting.get(timeout=patience) if patience else self._waiting.get_nowait())
            while calls[-1] is not None and len(calls) < MAX_BATCH:
                calls.append(self._waiting.get_nowait())
        except queues.Empty:
            pass
        return calls

    def _commit_together(self, calls: list[_Call]) -> None:
        if not calls:
            return
        run_together(self._queue, calls, self._changed)
        for loop in {call.loop for call in calls}:
            _settle_on(loop, [call for call in calls if call.loop is loop])

    def _changed(self) -> None:
        self._publish()
        self._on_change()

    def _publish(self) -> None:
        """Publish the current numbers for all threads."""
        self._last_trouble = self._queue.store.health.trouble
        self.trouble = self._queue.capacity.refusal()
        try:
            self.snapshot = views.snapshot(self._queue)
        except OSError as error:
            log.debug("cannot read the free space of the disk: %s", error, extra=about("free_space_unknown"))

    def _keep_house(self) -> bool:
        try:
            return self._housekeeper.step()
        except Exception:
            log.exception("unexpected error in the housekeeping of the queue", extra=about("housekeeping_failed"))
            return False


def _settle_on(loop: asyncio.AbstractEventLoop, calls: list[_Call]) -> None:
    def settle() -> None:
        for call in calls:
            call.settle()

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:  # the loop was closed: no caller waits any more
        log.debug(
            "%d operations of the store ended after the event loop was closed", len(calls), extra=about("stopped_late")
        )
