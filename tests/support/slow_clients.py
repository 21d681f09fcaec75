"""Many slow connections, for tests of how others are served meanwhile."""

import asyncio
import random
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self


class SlowCrowd:
    """`many` connections: half are idle, half send a head byte by byte; a closed one reconnects later."""

    def __init__(self, port: int, many: int) -> None:
        self._port = port
        self._many = many
        self._done = False
        self._tried: set[int] = set()
        self._all_tried = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        """Return when each has been connected once."""
        self._thread.start()
        assert self._all_tried.wait(120)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True
        self._thread.join()

    async def _run(self) -> None:
        await asyncio.gather(*(self._be_slow(number) for number in range(self._many)))

    async def _be_slow(self, number: int) -> None:
        while not self._done:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                self._count(number)
                try:
                    await self._dribble(reader, writer, b"" if number % 2 else b"X")
                finally:
                    writer.close()
            await asyncio.sleep(random.uniform(2, 10))  # so that they do not all reconnect at once

    def _count(self, number: int) -> None:
        self._tried.add(number)
        if len(self._tried) == self._many:
            self._all_tried.set()

    async def _dribble(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, letter: bytes) -> None:
        if letter:
            writer.write(b"POST /tasks/")
        while not self._done:
            with suppress(TimeoutError):
                async with asyncio.timeout(2):
                    await reader.read(1)
                    return
            writer.write(letter)
