"""Run a command of camiohookd for the status page in a process of its own, because it computes for seconds."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from camiohookd.system.systemd import without_systemd

SECONDS = 300.0
"""How long a command may take."""


class OwnCommand:
    """Runs a command in the background, once at a time. Belongs to the event loop. A subclass says which command."""

    def __init__(self) -> None:
        self._running: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the command has not ended yet."""
        return self._running is not None and not self._running.done()

    def begin(self, run: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
        """Begin `run`, which starts the process; tell `failed` why it did not end by itself.

        To be called only while nothing is running.
        """
        self._running = asyncio.create_task(_in_time(run, failed))

    async def stop(self) -> None:
        """Stop the command that is running."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running


@asynccontextmanager
async def process_of(*arguments: str, stderr: int) -> AsyncIterator[Process]:
    """Start ``camiohookd ARGUMENTS``, with its output in a pipe; kill it at the end of the block. Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "camiohookd", *arguments,
        stdin=DEVNULL, stdout=PIPE, stderr=stderr, env=without_systemd(os.environ),
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _in_time(run: Callable[[], Awaitable[None]], failed: Callable[[str], None]) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            await run()
    except TimeoutError:
        failed(f"did not finish within {SECONDS:g} s")
    except OSError as error:
        failed(f"cannot be started: {error.strerror or error}")
