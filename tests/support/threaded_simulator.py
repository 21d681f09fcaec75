"""The fake Camio in its own thread, for tests that do not run in an event loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from camiohookd.camio.simulator.fake_camio import Answerer, FakeCamio, HookResponse, ReceivedReply, always_accept

T = TypeVar("T")
POLL_SECONDS = 0.01


class FakeCamioThread:
    """``with FakeCamioThread() as camio:``. Any thread may call the methods; `answer` runs on a thread of the fake.

    A `port` other than 0 brings it back at the address that an earlier one had.
    """

    def __init__(self, answer: Answerer = always_accept, port: int = 0) -> None:
        self._camio = FakeCamio(answer)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-camio", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._run(self._camio.listen(port=self._port))
        except OSError:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._camio.close())
        self._end()

    @property
    def origin(self) -> str:
        """Return the origin that the daemon's ``[callback] allow_hosts`` must list."""
        return self._camio.origin

    @property
    def deliveries(self) -> dict[str, list[ReceivedReply]]:
        """Return a copy of the deliveries so far, by event."""
        return self._run(self._copy())

    @property
    def strays(self) -> int:
        """Return the number of deliveries to URLs that were never given out."""
        return self._camio.strays

    def callback_url(self, event_id: str) -> str:
        """Give out the callback URL of an event."""
        return self._run(self._give_out(event_id))

    def answer_with(self, answer: Answerer) -> None:
        """Answer every delivery from now on as `answer` says."""
        self._camio.answer = answer

    def post(self, url: str, body: bytes, timeout: float = 30) -> HookResponse:
        """Post an event; raises OSError if no answer comes."""
        return self._run(self._camio.post(url, body, timeout))

    def wait_until(self, condition: Callable[[dict[str, list[ReceivedReply]]], bool], timeout: float) -> None:
        """Return as soon as `condition` holds for the deliveries; raises TimeoutError with a count of them."""
        ends = time.monotonic() + timeout
        while not condition(deliveries := self.deliveries):
            if time.monotonic() > ends:
                counts = {event_id: len(every) for event_id, every in deliveries.items()}
                raise TimeoutError(f"not within {timeout:g} s; deliveries so far: {counts}")
            time.sleep(POLL_SECONDS)

    def _run(self, task: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _copy(self) -> dict[str, list[ReceivedReply]]:
        return {event_id: list(every) for event_id, every in self._camio.deliveries.items()}

    async def _give_out(self, event_id: str) -> str:
        return self._camio.callback_url(event_id)
