"""Call functions that may never return."""

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Hung(Exception):
    """The call did not return in time; its thread still waits for it."""


class Helper:
    """A thread that makes calls for its owner, another thread, which waits for a limited time only.

    The thread ends with its owner, and never keeps the program from ending.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(self._calls, self._results), name="device", daemon=True).start()

    def call(self, function: Callable[[], T], seconds: float) -> T:
        """Return what the function returns, or raise what it raises; Hung if it does neither in time.

        After Hung, do not use this helper again.
        """
        self._calls.put(function)
        try:
            result, error = self._results.get(timeout=seconds)
        except queue.Empty:
            self._calls.put(None)
            raise Hung from None
        if error is not None:
            raise error
        answer: T = result
        return answer

    def __del__(self) -> None:
        self._calls.put(None)


def _serve(
    calls: "queue.SimpleQueue[Callable[[], Any] | None]",
    results: "queue.SimpleQueue[tuple[Any, BaseException | None]]",
) -> None:
    while (function := calls.get()) is not None:
        try:
            results.put((function(), None))
        except BaseException as error:  # noqa: BLE001  # raised where the call was made
            results.put((None, error))
        del function
