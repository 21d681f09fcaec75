"""The wish that the daemon stop, SIGTERM or SIGINT: noticed from its start on, later waited for on its event loop."""

import asyncio
import signal
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopSignal:
    """Notices the signals from the making of this on; belongs to the main thread.

    Nothing is interrupted: before an event loop runs, ask `came` between two steps; on a loop, wait for `event()`.
    """

    def __init__(self) -> None:
        self.came = False
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def event(self) -> asyncio.Event:
        """An event of the running loop, which is set when a signal comes or has come."""
        event = asyncio.Event()
        for number in _SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, event.set)
        if self.came:
            event.set()
        return event

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
