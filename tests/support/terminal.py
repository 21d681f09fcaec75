"""Run a program on a pseudo-terminal: wait for what it shows, and type lines."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

PATIENCE = 60.0


class Terminal:
    """``camiohookd ARGUMENTS`` on a terminal of its own, killed at the end of the block if it still runs."""

    def __init__(self, arguments: Sequence[str], environ: Mapping[str, str]) -> None:
        self._owner, terminal = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _OWN_TERMINAL, *arguments],
            env=dict(environ), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._owner)

    def answer(self, question: str, line: str = "") -> None:
        """Wait for `question`, and type `line` and Enter."""
        self.wait_for(question)
        os.write(self._owner, f"{line}\n".encode())

    def end_by_ctrl_c(self) -> int:
        """Press Ctrl-C as a person does; return the exit status.

        Python does not notice a signal that arrives just before it blocks in `read` for input, so press again
        while nothing happens.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            os.write(self._owner, b"\x03")
            while select.select([self._owner], [], [], 2)[0]:
                if not self._read():
                    return self._process.wait()
        raise AssertionError(f"Ctrl-C did not end it:\n{self.shown[self._seen :]}")

    def wait_for(self, text: str) -> None:
        """Wait until `text` is shown, after what was waited for before."""
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self._read(), f"it ended before it showed {text!r}:\n{self.shown[self._seen :]}"
        self._seen = at + len(text)

    def end(self) -> int:
        """Read to the end; return the exit status."""
        while self._read():
            pass
        return self._process.wait()

    def _read(self) -> bool:
        ready, _, _ = select.select([self._owner], [], [], PATIENCE)
        assert ready, f"nothing more was shown:\n{self.shown[self._seen :]}"
        try:
            data = os.read(self._owner, 65536)
        except OSError:  # Linux' way to say that the other end is closed
            return False
        self.shown += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)


# The terminal has to be the process's controlling one, so that Ctrl-C interrupts it.
_OWN_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from camiohookd import cli
sys.exit(cli.run(sys.argv[1:]))
"""
