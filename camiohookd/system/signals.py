"""Notice the signals to stop and to reload, from the start of the process on."""

import asyncio
import signal
from types import FrameType


class NoticedSignal:
    """Notices signals from its creation on. The main thread owns it.

    It interrupts nothing. Before an event loop runs, read `came` between two steps; on a loop, wait for `event()`.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self.came = False
        self._numbers = numbers
        for number in numbers:
            signal.signal(number, self._note)

    def event(self) -> asyncio.Event:
        """Return an event of the running loop. It is set when a signal arrives, or has arrived before."""
        event = asyncio.Event()
        for number in self._numbers:
            asyncio.get_running_loop().add_signal_handler(number, event.set)
        if self.came:
            event.set()
        return event

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True


class Signals:
    """The daemon's signals. Without a handler, SIGHUP would end the process."""

    def __init__(self) -> None:
        self.stop = NoticedSignal(signal.SIGTERM, signal.SIGINT)
        self.reload = NoticedSignal(signal.SIGHUP)
