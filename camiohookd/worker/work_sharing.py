"""Share one piece of work between threads: each takes one part after another, and the last to finish joins the results.

No thread waits for another one. A thread that finds no part left returns at once.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
Whole = TypeVar("Whole")


class Shared(Generic[Part, Result, Whole]):
    """Work that any number of threads may `join` at any time; `done` gets the whole result or the first error.

    The first thread calls `parts`. `do` is called for each part, then `whole` with all results in the order of the
    parts. After an error no further part is taken.
    """

    def __init__(
        self,
        parts: Callable[[], Iterable[Part]],
        do: Callable[[Part], Result],
        whole: Callable[[Sequence[Result]], Whole],
    ) -> None:
        self.done: Future[Whole] = Future()
        self.done.set_running_or_notify_cancel()  # it cannot be canceled
        self._parts = parts
        self._do = do
        self._whole = whole
        self._lock = threading.Lock()
        self._left: Iterator[tuple[int, Part]] | None = None
        self._results: dict[int, Result] = {}
        self._error: BaseException | None = None
        self._at_work = 0
        self._ended = False

    def join(self) -> None:
        """Work on parts until none is left."""
        with self._lock:
            self._at_work += 1
        try:
            while taken := self._take():
                number, part = taken
                self._results[number] = self._do(part)
        except BaseException as error:  # noqa: BLE001  # the future `done` raises it
            self._error = self._error or error
        with self._lock:
            self._at_work -= 1
            if self._at_work or self._ended:
                return
            self._ended = True
        self._end()

    def _take(self) -> tuple[int, Part] | None:
        with self._lock:
            if self._error or self._ended:
                return None
            if self._left is None:
                self._left = iter(enumerate(self._parts()))
            return next(self._left, None)

    def _end(self) -> None:
        self._left = None  # free its memory
        try:
            if self._error:
                raise self._error
            whole = self._whole([self._results[number] for number in sorted(self._results)])
        except BaseException as error:  # noqa: BLE001  # as above
            self.done.set_exception(error)
        else:
            self.done.set_result(whole)
