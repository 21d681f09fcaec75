"""Run ``camiohookd doctor`` for the status page in its own process, because it loads a model and asks other hosts.

`DoctorProcess.start` ─▶ the process ─▶ a finding on each line, as JSON ─▶ `DoctorProcess.latest`
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from camiohookd.system.systemd import without_systemd

SECONDS = 300.0
"""The longest time for a run."""

_MOST_ERRORS = 500


class DoctorFinding(msgspec.Struct, frozen=True):
    """A finding of ``camiohookd doctor``, see `doctor.findings.Finding`."""

    group: str
    name: str
    outcome: Literal["ok", "warning", "failed", "not checked"]
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """The findings of a run. `ended` is in seconds since 1970, None while it runs; `problem` says why there is none."""

    findings: tuple[DoctorFinding, ...]
    ended: float | None
    is_running: bool
    problem: str


class DoctorProcess:
    """Runs the doctor on request, one run at a time. Belongs to the event loop.

    `path` is the settings file, None for the usual one.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._running: asyncio.Task[None] | None = None
        self._findings: list[DoctorFinding] = []
        self._ended: float | None = None
        self._problem = ""

    def start(self) -> None:
        """Start a run, if none is under way."""
        if not self._is_running():
            self._findings, self._problem, self._ended = [], "", None
            self._running = asyncio.create_task(self._examine())

    def latest(self) -> DoctorReport:
        """Return what the last run has found so far."""
        return DoctorReport(tuple(self._findings), self._ended, self._is_running(), self._problem)

    async def stop(self) -> None:
        """Stop the run that is under way."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def _is_running(self) -> bool:
        return self._running is not None and not self._running.done()

    async def _examine(self) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                await self._run()
        except TimeoutError:
            self._problem = f"the doctor did not finish within {SECONDS:g} s; run it on the box: sudo camiohookd doctor"
        except OSError as error:
            self._problem = f"cannot start the doctor: {error.strerror or error}"
        self._ended = time.time()

    async def _run(self) -> None:
        options = ["--config", str(self._path)] if self._path else []
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "camiohookd", "doctor", "--as-me", "--json", *options,
            stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=without_systemd(os.environ),
        )  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        try:
            async for line in process.stdout:
                with suppress(msgspec.MsgspecError):  # a line that a library printed
                    self._findings.append(msgspec.json.decode(line, type=DoctorFinding))
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        told = (await errors).decode("utf-8", "replace").strip()
        if not self._findings:
            self._problem = f"the doctor printed no finding; its errors: {told[-_MOST_ERRORS:] or 'none'}"
