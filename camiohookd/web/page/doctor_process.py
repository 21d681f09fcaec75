"""Run ``camiohookd doctor`` for the status page.

`DoctorProcess.start` ─▶ the process ─▶ a finding on each line, as JSON ─▶ `DoctorProcess.latest`
"""

import asyncio
import time
from asyncio.subprocess import PIPE
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from camiohookd.web.page.own_command import OwnCommand, process_of

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


class DoctorProcess(OwnCommand):
    """Runs the doctor on request, one run at a time. Belongs to the event loop.

    `path` is the settings file, None for the usual one.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._findings: list[DoctorFinding] = []
        self._ended: float | None = None
        self._problem = ""

    def start(self) -> None:
        """Start a run, if none is under way."""
        if not self.is_running:
            self._findings, self._problem, self._ended = [], "", None
            self.begin(self._examine, self._failed)

    def latest(self) -> DoctorReport:
        """Return what the last run has found so far."""
        return DoctorReport(tuple(self._findings), self._ended, self.is_running, self._problem)

    async def _examine(self) -> None:
        options = ["--config", str(self._path)] if self._path else []
        async with process_of("doctor", "--as-me", "--json", *options, stderr=PIPE) as process:
            assert process.stdout is not None and process.stderr is not None
            errors = asyncio.create_task(process.stderr.read())
            async for line in process.stdout:
                with suppress(msgspec.MsgspecError):  # a line that a library printed
                    self._findings.append(msgspec.json.decode(line, type=DoctorFinding))
            await process.wait()
        told = (await errors).decode("utf-8", "replace").strip()
        if not self._findings:
            self._problem = f"the doctor printed no finding; its errors: {told[-_MOST_ERRORS:] or 'none'}"
        self._ended = time.time()

    def _failed(self, why: str) -> None:
        self._problem, self._ended = f"the doctor {why}; run it on the box: sudo camiohookd doctor", time.time()
