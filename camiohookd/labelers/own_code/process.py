"""Run a long-lived program of the owner's and ask it one message at a time: its stdin gets it, its stdout answers.

A message is a 32-bit length (big-endian) and as many bytes. The program is started when it is first asked, and again
after it has ended. If it does not answer in time, it is killed with all processes that it started.
"""

import contextlib
import logging
import os
import selectors
import signal
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from camiohookd.errors import LabelerDown, LabelerEnded, LabelingError
from camiohookd.system.log_fields import about
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason
from camiohookd.units import size

MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_LINE = 1000
MAX_LINES_A_MINUTE = 200
MAX_PAUSE = 30.0
LAST_WORDS_SECONDS = 1.0
"""How long to wait until everything that an ended program printed is in the log."""

_CHUNK = 1 << 16
_KEPT = {"PATH", "HOME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "VIRTUAL_ENV"}

log = logging.getLogger("camiohookd.labeler")


def clean_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the daemon's environment without secrets: no settings, no keys, no socket of systemd."""
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith("LC_")}
    return kept | {"ORT_DISABLE_TELEMETRY": "1", "PYTHONUNBUFFERED": "1"}


class Program:
    """A program that is started when it is needed. Threads may share it; it serves one at a time.

    `argv` is the command line, `name` its name in errors and log lines, `deadline` the seconds for one answer. After
    each start it is first asked `probe`; `accept` checks the answer and raises LabelingError if it is wrong.
    """

    def __init__(
        self, argv: Sequence[str], name: str, deadline: float, probe: bytes, accept: Callable[[bytes], object]
    ) -> None:
        self._argv = list(argv)
        self._name = name
        self._deadline = deadline
        self._probe = probe
        self._accept = accept
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_thread: threading.Thread | None = None
        self._failures = 0
        self._closed = threading.Event()

    def start(self) -> None:
        """Start the program if it does not run. Raises LabelerDown."""
        with self._lock:
            self._running()

    def ask(self, message: bytes) -> bytes:
        """Return the answer to `message`.

        Raises LabelerDown if the program cannot be started. Raises LabelerEnded, and kills the program, if it does not
        answer.
        """
        with self._lock:
            answer = self._exchange(self._running(), message)
            self._failures = 0
            return answer

    def close(self) -> None:
        """Kill the program, even while it answers."""
        self._closed.set()
        if (process := self._process) is not None:
            _kill(process)  # a thread that waits for the answer gets an error and releases the lock
        with self._lock:
            self._end()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        if self._process is not None:
            log.warning("%s %s; starting it again", self._name, self._failed(), extra=about("own_code_restarted"))
        # A program that ends again and again must not take the whole machine.
        if self._closed.wait(min(2.0 ** (self._failures - 2), MAX_PAUSE) if self._failures > 1 else 0):
            raise LabelerDown(f"{self._name} is not started again, because the daemon stops")
        process = self._process = self._started()
        try:
            self._accept(self._exchange(process, self._probe))
        except LabelingError as error:
            if self._process is not None:
                self._failed()
            raise LabelerDown(str(error)) from None
        return process

    def _started(self) -> subprocess.Popen[bytes]:
        try:
            process = subprocess.Popen(  # noqa: S603  # the owner's own program
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=clean_environment(os.environ),
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._failures += 1
            program = self._argv[0]
            raise LabelerDown(f"{self._name} cannot be started: {program}: {reason(error, program)}") from None
        self._log_thread = threading.Thread(target=_log_lines, args=(process,), name="labeler-log", daemon=True)
        self._log_thread.start()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
        return process

    def _exchange(self, process: subprocess.Popen[bytes], message: bytes) -> bytes:
        ends = time.monotonic() + self._deadline
        try:
            _send(process, struct.pack(">I", len(message)) + message, ends)
            (length,) = struct.unpack(">I", _receive(process, 4, ends))
            if length <= MAX_ANSWER_BYTES:
                return _receive(process, length, ends)
        except TimeoutError:
            self._failed()
            raise LabelerEnded(
                f"{self._name} gave no answer within {self._deadline:g} s (setting labeler.deadline) and was ended"
            ) from None
        except OSError:
            raise LabelerEnded(f"{self._name} {self._failed()} before it answered") from None
        self._failed()
        raise LabelerEnded(
            f"{self._name} announces an answer of {size(length)}, allowed are {size(MAX_ANSWER_BYTES)}; "
            "does it print something else to its standard output?"
        )

    def _failed(self) -> str:
        """Kill what is left of the program, and return how it ended."""
        self._failures += 1
        process = self._end()
        if process is None or process.returncode == -signal.SIGKILL:
            return "was killed"
        if process.returncode < 0:
            return f"was ended by signal {-process.returncode} ({signal.strsignal(-process.returncode)})"
        return f"ended with status {process.returncode}"

    def _end(self) -> subprocess.Popen[bytes] | None:
        process, self._process = self._process, None
        if process is None:
            return None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)  # its own exit status says more than ours
        _kill(process)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        if self._log_thread is not None:
            self._log_thread.join(LAST_WORDS_SECONDS)
        return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and all processes that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _send(process: subprocess.Popen[bytes], data: bytes, ends: float) -> None:
    assert process.stdin is not None
    rest = memoryview(data)
    while rest:
        _wait(process.stdin.fileno(), selectors.EVENT_WRITE, ends)
        rest = rest[os.write(process.stdin.fileno(), rest[:_CHUNK]) :]


def _receive(process: subprocess.Popen[bytes], length: int, ends: float) -> bytes:
    assert process.stdout is not None
    data = bytearray()
    while len(data) < length:
        _wait(process.stdout.fileno(), selectors.EVENT_READ, ends)
        chunk = os.read(process.stdout.fileno(), min(length - len(data), _CHUNK))
        if not chunk:
            raise BrokenPipeError
        data += chunk
    return bytes(data)


def _wait(fd: int, event: int, ends: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(fd, event)
        if not selector.select(max(ends - time.monotonic(), 0)):
            raise TimeoutError


def _log_lines(process: subprocess.Popen[bytes]) -> None:
    """Log what the program prints to standard error, up to a number of lines a minute."""
    assert process.stderr is not None
    minute, lines = 0, 0
    with process.stderr:
        stream = os.fdopen(os.dup(process.stderr.fileno()), "rb")
        with stream:
            while line := stream.readline(MAX_LINE):
                if (now := int(time.monotonic() // 60)) != minute:
                    minute, lines = now, 0
                lines += 1
                if lines < MAX_LINES_A_MINUTE:
                    log.info(
                        "labeler: %s", escape(line.decode(errors="replace").rstrip()), extra=about("own_code_printed")
                    )
                elif lines == MAX_LINES_A_MINUTE:
                    log.warning(
                        "labeler: it prints too much; the rest of this minute is not logged",
                        extra=about("own_code_printed_too_much"),
                    )
