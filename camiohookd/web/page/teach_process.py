"""Run ``camiohookd teach`` for the status page.

`TeachProcess.start` ─▶ the process ─▶ what it prints ─▶ `TeachProcess.latest`
"""

from asyncio.subprocess import STDOUT
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from camiohookd.web.page.own_command import OwnCommand, process_of

_MOST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class TeachResult:
    """The command's output for `name`; `succeeded` is None while it runs."""

    name: str
    text: str
    succeeded: bool | None


class TeachProcess(OwnCommand):
    """Teaches on request, one name at a time. Belongs to the event loop.

    `path` is the settings file, None for the usual one.
    """

    def __init__(self, path: Path | None) -> None:
        super().__init__()
        self._path = path
        self._latest: TeachResult | None = None

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Teach `name` with the command's other `arguments`, unless the command is running."""
        if not self.is_running:
            self._latest = TeachResult(name, "", None)
            self.begin(partial(self._teach, name, arguments), partial(self._failed, name))

    def latest(self) -> TeachResult | None:
        """Return the last result, None before the first one."""
        return self._latest

    async def _teach(self, name: str, arguments: Sequence[str]) -> None:
        options = [f"--config={self._path}"] if self._path else []
        async with process_of("teach", name, *options, *arguments, stderr=STDOUT) as process:
            text, _ = await process.communicate()
        self._latest = TeachResult(name, text.decode("utf-8", "replace").strip()[-_MOST_TEXT:], process.returncode == 0)

    def _failed(self, name: str, why: str) -> None:
        self._latest = TeachResult(name, f"the command {why}; teach with fewer pictures, or on the box", False)
