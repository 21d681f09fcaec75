"""Run a temporary daemon with the owner's settings, on a free port of the loopback and with an empty queue."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import IO

from camiohookd.errors import CamiohookdError
from camiohookd.system.systemd import without_systemd

START_SECONDS = 120.0
STOP_SECONDS = 15.0
_READY = re.compile(r"ready: events on (\S+),")


@contextmanager
def temporary_daemon(path: Path | None, environ: Mapping[str, str], callback: str, *, is_tls: bool) -> Iterator[str]:
    """Run the daemon in the block, and yield the URL for its events. It may send labels only to `callback`.

    Raises CamiohookdError if it does not start.
    """
    with TemporaryDirectory(prefix="camiohookd-doctor-") as folder:
        command = [sys.executable, "-P", "-m", "camiohookd", "serve", *(["--config", str(path)] if path else [])]
        process = subprocess.Popen(  # noqa: S603  # this very program
            command,
            env=_environment(environ, Path(folder), callback),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield f"{'https' if is_tls else 'http'}://{_wait_until_ready(process)}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _environment(environ: Mapping[str, str], folder: Path, callback: str) -> dict[str, str]:
    return without_systemd(environ) | {
        "STATE_DIRECTORY": str(folder),
        "RUNTIME_DIRECTORY": str(folder),
        "CAMIOHOOKD_HOOK_LISTEN": "127.0.0.1:0",
        "CAMIOHOOKD_ADMIN_LISTEN": "127.0.0.1:0",
        "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": json.dumps([callback]),
        "CAMIOHOOKD_QUEUE_MIN_FREE_BYTES": "0",
        "CAMIOHOOKD_LOG_LEVEL": "info",
        "CAMIOHOOKD_LOG_FORMAT": "text",
    }


def _wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Return the ``host:port`` that the daemon logs when it is ready. A thread reads the log to its end."""
    assert process.stderr is not None
    lines: SimpleQueue[str | None] = SimpleQueue()
    threading.Thread(target=_read, args=(process.stderr, lines), daemon=True).start()
    last = "it wrote nothing"
    while True:
        try:
            line = lines.get(timeout=START_SECONDS)
        except Empty:
            raise CamiohookdError(f"a temporary service did not start within {START_SECONDS:g} s: {last}") from None
        if line is None:
            raise CamiohookdError(f"a temporary service ended while starting: {last}")
        if ready := _READY.search(line):
            return ready[1]
        last = re.sub(r"^<\d>", "", line.strip()) or last


def _read(log: IO[str], lines: SimpleQueue[str | None]) -> None:
    with log:
        for line in log:
            lines.put(line)
    lines.put(None)
