"""The wishes that the daemon stop, or read its settings again: noticed from its start on, waited for on its loop."""

import asyncio
import signal
from types import FrameType


class NoticedSignal:
    """Notices signals from the making of this on; belongs to the main thread.

    Nothing is interrupted: before an event loop runs, ask `came` between two steps; on a loop, wait for `event()`.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self.came = False
        self._numbers = numbers
        for number in numbers:
            signal.signal(number, self._note)

    def event(self) -> asyncio.Event:
        """An event of the running loop, which is set when a signal comes or has come."""
        event = asyncio.Event()
        for number in self._numbers:
            asyncio.get_running_loop().add_signal_handler(number, event.set)
        if self.came:
            event.set()
        return event

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


class Signals:
    """What the daemon is told by signals; without it SIGHUP, too, would end the process."""

    def __init__(self) -> None:
        self.stop = NoticedSignal(signal.SIGTERM, signal.SIGINT)
        self.reload = NoticedSignal(signal.SIGHUP)
