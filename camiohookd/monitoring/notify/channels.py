"""Send notices to the owner by a command or a webhook. Each sends a notice once, with a deadline."""

import asyncio
import os
import signal
import threading
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import msgspec

from camiohookd.delivery import AllowList, Sender
from camiohookd.labelers.own_code.process import clean_environment
from camiohookd.monitoring.notify.ledger import Notice
from camiohookd.net.urls import origin
from camiohookd.next_try import OutcomeKind
from camiohookd.system.permissions import reason

SECONDS = 30.0
_MOST_WORDS = 300

Result = TypeVar("Result")


class Channel(Protocol):
    """Sends notices; `name` is for the log."""

    name: str

    async def tell(self, notice: Notice) -> str | None:
        """Send the notice once; return why that failed, None if it worked."""


class Command:
    """Runs `argv` without a shell: the notice is JSON on its standard input, and its sentence is ALERT_TEXT.

    ALERT and ALERT_STATE are in the environment, too; no setting and no key is. After `seconds` it is killed with all
    that it started.
    """

    name = "notify.command"

    def __init__(self, argv: Sequence[str], seconds: float = SECONDS) -> None:
        self._argv = argv
        self._seconds = seconds

    async def tell(self, notice: Notice) -> str | None:
        program = self._argv[0]
        environ = clean_environment(os.environ) | {
            "ALERT": notice.alert,
            "ALERT_STATE": notice.state,
            "ALERT_TEXT": notice.text.replace("\0", " "),
        }
        try:
            process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=PIPE, stdout=DEVNULL, stderr=PIPE, env=environ, start_new_session=True
            )
        except (OSError, ValueError) as error:
            why = reason(error, program) if isinstance(error, OSError) else error
            return f"cannot start {program}: {why}"
        try:
            async with asyncio.timeout(self._seconds):
                words = await _converse(process, msgspec.json.encode(notice))
                status = await process.wait()
        except TimeoutError:
            return f"{program} did not finish within {self._seconds:g} s"
        finally:
            with suppress(ProcessLookupError):  # end the processes that it started, too
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return None if status == 0 else f"{program} ended with status {status}{f': {words}' if words else ''}"


async def _converse(process: asyncio.subprocess.Process, data: bytes) -> str:
    """Write `data` to the process, and return the end of its standard error."""
    assert process.stdin is not None and process.stderr is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # the command may ignore its input
        process.stdin.write(data)
        await process.stdin.drain()
    process.stdin.close()
    tail = b""
    while chunk := await process.stderr.read(4096):
        tail = (tail + chunk)[-_MOST_WORDS:]
    return " ".join(tail.decode("utf-8", "replace").split())


class Webhook:
    """Posts the notice as JSON to `url`, by the rules of deliveries: no redirect, no proxy, bounded in time and size.

    The owner wrote the URL down, so exactly its origin is allowed, at any address. `sender` makes the try.
    """

    name = "notify.webhook"

    def __init__(self, url: str, sender: Sender) -> None:
        self._target = AllowList([origin(url)]).check(url)
        self._sender = sender

    async def tell(self, notice: Notice) -> str | None:
        outcome = await _on_a_thread(lambda: self._sender.deliver(self._target, msgspec.json.encode(notice)))
        return None if outcome.kind is OutcomeKind.DELIVERED else outcome.reason


async def _on_a_thread(function: Callable[[], Result]) -> Result:
    """Run `function`, which must not raise, on a daemon thread, so that the process can end without it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def finish(result: Result) -> None:
        if not done.done():
            done.set_result(result)

    def run() -> None:
        result = function()
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, result)

    threading.Thread(target=run, name="notify", daemon=True).start()
    return await done
