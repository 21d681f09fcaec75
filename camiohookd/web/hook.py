"""The public listener: Camio's three requests and nothing else (PROTOCOL.md, section 3).

key ─▶ room ─▶ body ─▶ `Intake.take`: `read` (`parse`, `check_callback`) ─▶ stable storage ─▶ 200

Everything runs on the event loop, but `read` where it may take long. The key is in the URL, so no URL is ever logged.
"""

import logging
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol
from urllib.parse import unquote_to_bytes

from tornado.web import url

from camiohookd.errors import NoSuchTask
from camiohookd.metrics import Metrics
from camiohookd.web.keys import BodyMemory, Keys, WrongKeyLimiter
from camiohookd.web.server import answers, gzip_body
from camiohookd.web.server.answers import ErrorResponse, Refused
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.listener import ListenerLimits, Site
from camiohookd.web.server.log_throttle import Throttle, printable
from camiohookd.web.server.peers import Peers
from camiohookd.wire.event import Event

log = logging.getLogger("camiohookd.hook")

_PREFIX = "/tasks/"
_DEFAULT_PAGE, _MAX_PAGE = 100, 1000
_CURSOR = re.compile(r"[0-9A-Za-z_.:-]{1,128}")
_LINES_PER_EVENT = 20
_LONG_BYTES = 1024 * 1024


Unpack = Callable[[bytes | bytearray], bytes]


class Receipt(Protocol):
    """What the queue says of an event: the task's id, and whether it was known already."""

    @property
    def id(self) -> str: ...
    @property
    def duplicate(self) -> bool: ...


class Page(Protocol):
    """Some of the pending tasks, oldest first; `pending` counts all, `next` is the `after` of the next page."""

    @property
    def pending(self) -> int: ...
    @property
    def tasks(self) -> Sequence[object]: ...
    @property
    def next(self) -> str | None: ...


class Intake(Protocol):
    """The side of the queue that is turned to Camio."""

    async def take(self, read: Callable[[], Event], *, is_long: bool) -> tuple[Event, Receipt]:
        """Return once the event that `read` gives is on stable storage; where it `is_long`, another thread reads.

        Raises what `read` raises, and `QueueFull` or `StoreUnavailable` if it is not.
        """
        ...

    async def page(self, limit: int, after: str | None) -> Page:
        """At most `limit` pending tasks behind `after`; `NoSuchTask` if there is none of that name."""
        ...


@dataclass(frozen=True, slots=True)
class HookContext:
    """What the requests share."""

    intake: Intake
    keys: Keys
    parse: Callable[[bytes | bytearray], Event]
    check_callback: Callable[[str], None]
    metrics: Metrics
    room: BodyMemory
    guesses: WrongKeyLimiter
    throttle: Throttle = field(default_factory=partial(Throttle, log))

    def read(self, chunks: list[bytearray], unpack: Unpack | None) -> Event:
        """The event in a body, whose `chunks` are used up; raise `PayloadError`, `PrivateCallback` or `Refused`."""
        body: bytes | bytearray = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        if unpack is not None:
            body = unpack(body)
        event = self.parse(body)
        self.check_callback(event.callback_url)
        return event


class Status(Endpoint):
    """``GET /`` and ``GET /tasks/``: the service is up."""

    async def serve(self) -> None:
        self.reply(200, {"status": "ok"})


class Tasks(Endpoint):
    """``/tasks/{api_key}``: POST an event, GET the pending tasks."""

    methods = ("GET", "POST")

    def initialize(self, hook: HookContext) -> None:
        self._hook = hook
        self._started = time.monotonic()
        self._taken = 0
        self._unpack: Unpack | None = None

    def admit(self) -> None:
        self._key_name = self._check_key()
        if self.request.method == "POST":
            self._admit_event()

    async def serve(self) -> None:
        if self.request.method == "GET":
            await self._list()
        elif self.received == 0:
            self.reply(200, {"status": "ok"})
        else:
            await self._accept()

    def release(self) -> None:
        self._hook.room.give_back(self._taken)
        self._taken = 0

    def refused(self, answer: ErrorResponse) -> None:
        if self.request.method != "POST":
            return
        self._hook.metrics.events_refused.labels(answer.code).inc()
        self._hook.throttle.warning(
            answer.code,
            "refused status=%d code=%s from=%s bytes=%d: %s",
            answer.status,
            answer.code,
            printable(self.peer.name),
            self.received,
            printable(answer.message),
        )

    def _check_key(self) -> str:
        offered = self.request.path.removeprefix(_PREFIX).encode("latin-1")
        name = self._hook.keys.name_of(unquote_to_bytes(offered))
        if name is None:
            wait = self._hook.guesses.count(self.peer.group)
            raise Refused(answers.too_many_wrong_keys(wait) if wait else answers.WRONG_KEY)
        self.keep_connection()
        return name

    def _admit_event(self) -> None:
        limit = self.body_limit = self.application.limits.body_bytes
        encoding = self.request.headers.get("Content-Encoding", "identity").lower()
        if encoding in gzip_body.NAMES:
            self._unpack = partial(gzip_body.unpack, limit=limit)
        elif encoding != "identity":
            raise Refused(answers.ENCODED_BODY)
        size = limit if self.length is None else self.length
        if size <= limit:
            size += limit if self._unpack else 0
            self._hook.room.take(size)
            self._taken = size

    async def _accept(self) -> None:
        # To hand half a millisecond's work to another thread, and take it back, takes as long again.
        is_long = self._unpack is not None or self.received > _LONG_BYTES
        read = partial(self._hook.read, self.chunks, self._unpack)
        event, receipt = await self._hook.intake.take(read, is_long=is_long)
        self._record(event, receipt)
        self.reply(200, {"status": "duplicate" if receipt.duplicate else "queued", "id": receipt.id})

    def _record(self, event: Event, receipt: Receipt) -> None:
        metrics = self._hook.metrics
        (metrics.events_duplicate if receipt.duplicate else metrics.events_accepted).inc()
        log.info(
            "%s task=%s camera=%s images=%d rejected=%d bytes=%d ms=%d hook=%s",
            "duplicate" if receipt.duplicate else "accepted",
            receipt.id,
            printable(event.camera or "-"),
            len(event.pictures),
            len(event.rejected),
            self.received,
            (time.monotonic() - self._started) * 1000,
            self._key_name,
        )
        if not receipt.duplicate:
            metrics.pictures_rejected.inc(len(event.rejected))
            log_warnings(receipt.id, event)

    async def _list(self) -> None:
        after = self._parameter("after")
        if after is not None and not _CURSOR.fullmatch(after):
            raise Refused(answers.bad_parameter("after", "the next of a page before"))
        try:
            page = await self._hook.intake.page(self._limit(), after)
        except NoSuchTask:
            raise Refused(answers.bad_parameter("after", "the id of a task that is kept")) from None
        self.reply(200, {"pending": page.pending, "tasks": page.tasks, "next": page.next})

    def _limit(self) -> int:
        text = self._parameter("limit") or str(_DEFAULT_PAGE)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _MAX_PAGE:
            raise Refused(answers.bad_parameter("limit", f"a number from 1 to {_MAX_PAGE}"))
        return int(text)

    def _parameter(self, name: str) -> str | None:
        values = self.request.query_arguments.get(name, [])
        if len(values) > 1:
            raise Refused(answers.bad_parameter(name, "given once"))
        return values[0].decode("latin-1") if values else None


def log_warnings(task: str, event: Event) -> None:
    """A line for each picture that is left out and for each field that is ignored, up to a bound."""
    lines = [f"picture {each.field} left out: {each.reason}" for each in event.rejected]
    lines += event.warnings
    for line in lines[:_LINES_PER_EVENT]:
        log.warning("task=%s %s", task, printable(line))
    if len(lines) > _LINES_PER_EVENT:
        log.warning("task=%s and %d more such lines", task, len(lines) - _LINES_PER_EVENT)


def hook_application(
    *,
    intake: Intake,
    keys: Keys,
    parse: Callable[[bytes | bytearray], Event],
    check_callback: Callable[[str], None],
    metrics: Metrics,
    limits: ListenerLimits,
    wrong_keys: int,
    peers: Peers,
) -> Site:
    """The site for `site.listen`. Who offers more than `wrong_keys` is told to wait."""
    hook = HookContext(
        intake=intake,
        keys=keys,
        parse=parse,
        check_callback=check_callback,
        metrics=metrics,
        room=BodyMemory(limits.bodies_bytes),
        guesses=WrongKeyLimiter(wrong_keys),
    )
    paths = [
        url("/(?:tasks/)?", Status),
        url(f"{_PREFIX}[^/]+", Tasks, {"hook": hook}),
    ]
    return Site([*paths], UnknownPath, limits, peers)
