"""Run ``camiohookd teach`` for the status page, as a process of its own: it loads a model and computes for seconds.

`TeachProcess.start` ─▶ the process ─▶ what it prints ─▶ `TeachProcess.latest`
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from camiohookd.system.systemd import without_systemd

SECONDS = 300.0
"""How long it may take."""

_MOST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class TeachResult:
    """What came of teaching `name`: the command's output; `succeeded` is None while it runs."""

    name: str
    text: str
    succeeded: bool | None


class TeachProcess:
    """Teaches when it is asked to, once at a time. Belongs to the event loop.

    `path` is the settings file, None for the usual one.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._running: asyncio.Task[None] | None = None
        self._latest: TeachResult | None = None

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Begin to teach `name` with the command's other `arguments`, if nothing is being taught."""
        if self._running is None or self._running.done():
            self._latest = TeachResult(name, "", None)
            self._running = asyncio.create_task(self._teach(name, arguments))

    def latest(self) -> TeachResult | None:
        """Return what was taught last, None if nothing was."""
        return self._latest

    async def stop(self) -> None:
        """End what is being taught."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _teach(self, name: str, arguments: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                text, status = await self._run(name, arguments)
        except TimeoutError:
            text, status = f"it did not end within {SECONDS:g} s; teach with fewer pictures, or on the box", 1
        except OSError as error:
            text, status = f"it cannot be started: {error.strerror or error}", 1
        self._latest = TeachResult(name, text[-_MOST_TEXT:], status == 0)

    async def _run(self, name: str, arguments: Sequence[str]) -> tuple[str, int | None]:
        options = [f"--config={self._path}"] if self._path else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "camiohookd", "teach", name, *options, *arguments,
            stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=without_systemd(os.environ),
        )  # fmt: skip
        try:
            text, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        return text.decode("utf-8", "replace").strip(), process.returncode
