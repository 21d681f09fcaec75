"""Own code labels one event at a time, on threads of its own, so that the label pool does not wait for it.

an event's pictures are through ─▶ `OwnPace.run` ─▶ the labelers that are asked about the event ─▶ its labels
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic

from camiohookd.worker.work_sharing import Part, Result, Shared, Whole


class OwnPace:
    """Runs functions on `threads` threads, which start when they are needed.

    While one ends after another, those that wait are not stuck: their `progress` is called. After `close`, nothing
    more is run: it ends with the error `closed`.
    """

    def __init__(self, threads: int, closed: type[Exception]) -> None:
        self._closed = closed
        self._pool = ThreadPoolExecutor(threads, "own-code")
        self._waiting: dict[object, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def run(self, work: Callable[[], Result], done: "Future[Result]", progress: Callable[[], None]) -> None:
        """Run `work` once a thread is free; `done` gets its result or its error."""
        mine = object()
        with self._lock:
            self._waiting[mine] = progress

        def run() -> None:
            with self._lock:
                del self._waiting[mine]
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001  # the future raises it
                done.set_exception(error)
            else:
                done.set_result(result)
            with self._lock:
                waiting = list(self._waiting.values())
            for each in waiting:
                each()

        try:
            self._pool.submit(run)
        except RuntimeError:  # the pool is closed
            done.set_exception(self._closed())

    def close(self) -> None:
        """Start nothing more; what runs is not interrupted."""
        self._pool.shutdown(wait=False)


class Paced(Generic[Part, Result, Whole]):
    """Work as `Shared` is: any number of threads may `join`, and `done` gets the whole result or the first error.

    `whole` is called in the last thread that finishes, or, with `at_own_pace`, by that.
    """

    def __init__(
        self,
        parts: Callable[[], Iterable[Part]],
        do: Callable[[Part], Result],
        whole: Callable[[Sequence[Result]], Whole],
        at_own_pace: Callable[[Callable[[], Whole], "Future[Whole]"], None] | None,
    ) -> None:
        self.done: Future[Whole]
        if at_own_pace is None:
            shared = Shared(parts, do, whole)
            self.join, self.done = shared.join, shared.done
            return
        first = Shared[Part, Result, Sequence[Result]](parts, do, list)
        self.join, self.done = first.join, Future()
        self.done.set_running_or_notify_cancel()  # it cannot be canceled

        def go_on(future: "Future[Sequence[Result]]") -> None:
            if (error := future.exception()) is not None:
                self.done.set_exception(error)
            else:
                at_own_pace(lambda: whole(future.result()), self.done)

        first.done.add_done_callback(go_on)
