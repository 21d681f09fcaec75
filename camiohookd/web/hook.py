"""The public listener: its status, posted events, and the list of pending tasks; nothing else.

key ─▶ memory for the body ─▶ body ─▶ `Intake.take`: read, checked, on stable storage ─▶ 200

Everything here runs on the event loop. The key is part of the URL, so no URL is ever logged.
"""

import logging
import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import unquote_to_bytes

from tornado.web import url

from camiohookd.errors import NoSuchTask
from camiohookd.monitoring.activity import Activity, EventAccepted, EventRetried
from camiohookd.monitoring.metrics import Metrics
from camiohookd.system.log_fields import about
from camiohookd.system.logs import warn_of_each
from camiohookd.web.body_memory import BodyMemory, BodyShare
from camiohookd.web.draining import Draining
from camiohookd.web.intake import Intake, IntakeReceipt
from camiohookd.web.keys import Keys, WrongKeyLimiter
from camiohookd.web.nonces import Nonces
from camiohookd.web.server import error_responses, gzip_body
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.error_responses import ErrorResponse, Refused
from camiohookd.web.server.listener import ListenerLimits, Site
from camiohookd.web.server.log_throttle import Throttle, log_refusal, printable
from camiohookd.web.server.peers import Peers

log = logging.getLogger("camiohookd.hook")

_PREFIX = "/tasks/"
_DEFAULT_PAGE, _MAX_PAGE = 100, 1000
_CURSOR = re.compile(r"[0-9A-Za-z_.:-]{1,128}")
_KEY_PARTS = 2  # of a path, from its end, that may be the key


@dataclass(frozen=True, slots=True)
class HookContext:
    """What all requests share."""

    intake: Intake
    keys: Keys
    metrics: Metrics
    activity: Activity
    memory: BodyMemory
    wrong_keys: WrongKeyLimiter
    draining: Draining
    throttle: Throttle = field(default_factory=partial(Throttle, log))


class Status(Endpoint):
    """``GET /``, ``GET /tasks`` and ``GET /tasks/``: the service takes events. Also answers the doctor's nonce."""

    def initialize(self, nonces: Nonces, draining: Draining) -> None:
        self._nonces = nonces
        self._draining = draining

    async def serve(self) -> None:
        [nonce, *_] = self.request.query_arguments.get("nonce", [b""])
        proof = self._nonces.take(nonce.decode("latin-1")) if self.request.method == "GET" else None
        if proof is None:
            self._draining.check_health()
        self.reply(200, {"status": "ok"} if proof is None else {"status": "ok", "proof": proof})

    def refused(self, response: ErrorResponse) -> None:
        if response is not error_responses.DRAINING:  # load balancers ask every second
            super().refused(response)


class Tasks(Endpoint):
    """``/tasks/{api_key}``: POST an event, GET the pending tasks."""

    methods = ("GET", "HEAD", "POST")

    def initialize(self, hook: HookContext) -> None:
        self._hook = hook
        self._started = time.monotonic()
        self._memory: BodyShare | None = None
        self._is_gzip = False

    def admit(self) -> None:
        self._key_name = self._check_key()
        if self.request.method == "POST":
            self._admit_event()

    async def serve(self) -> None:
        if self.request.method == "POST":
            await self._accept()
        else:
            await self._list()

    def take_memory(self, size: int) -> Awaitable[None] | None:
        return self._memory.grow_to(size) if self._memory else None

    def release(self) -> None:
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def refused(self, response: ErrorResponse) -> None:
        if self.request.method == "POST":
            self._hook.metrics.events_refused.labels(response.code).inc()
        log_refusal(self._hook.throttle, response, self.peer.name, self.body.received)

    def _check_key(self) -> str:
        name = self._hook.keys.name_of(offered_key(self.request.path.removeprefix(_PREFIX).removesuffix("/")))
        if name is None:
            wait = self._hook.wrong_keys.count(self.peer.group)
            raise Refused(error_responses.too_many_wrong_keys(wait) if wait else error_responses.WRONG_KEY)
        self.authenticate_connection()
        return name

    def _admit_event(self) -> None:
        self._hook.draining.check_event()
        self.body.limit = self.application.limits.body_bytes
        encoding = self.request.headers.get("Content-Encoding", "identity").lower()
        self._is_gzip = encoding in gzip_body.NAMES
        if not self._is_gzip and encoding != "identity":
            raise Refused(error_responses.ENCODED_BODY)
        self._memory = self._hook.memory.open()

    async def _accept(self) -> None:
        assert self._memory is not None, "opened by admit"
        receipt = await self._hook.intake.take(self.body.chunks, self._memory, is_gzip=self._is_gzip)
        if receipt is None:
            self.reply(200, {"status": "ok"})
            return
        self._record(receipt)
        self.reply(200, {"status": "duplicate" if receipt.duplicate else "queued", "id": receipt.id})

    def _record(self, receipt: IntakeReceipt) -> None:
        metrics = self._hook.metrics
        (metrics.events_duplicate if receipt.duplicate else metrics.events_accepted).inc()
        log.info(
            "%s task=%s camera=%s images=%d rejected=%d bytes=%d ms=%d hook=%s",
            "duplicate" if receipt.duplicate else "accepted",
            receipt.id,
            printable(receipt.camera or "-"),
            receipt.pictures,
            len(receipt.rejected),
            self.body.received,
            (time.monotonic() - self._started) * 1000,
            self._key_name,
            extra=about("duplicate" if receipt.duplicate else "accepted", task=receipt.id, camera=receipt.camera),
        )
        if receipt.retried:
            self._hook.activity.publish(EventRetried(receipt.id, receipt.camera, time.time()))
        if not receipt.duplicate:
            metrics.pictures_rejected.inc(len(receipt.rejected))
            log_warnings(receipt)
            self._hook.activity.publish(
                EventAccepted(receipt.id, receipt.camera, receipt.received, receipt.pictures, len(receipt.rejected))
            )

    async def _list(self) -> None:
        after = self._parameter("after")
        if after is not None and not _CURSOR.fullmatch(after):
            raise Refused(error_responses.bad_parameter("after", "the next of a previous page"))
        try:
            page = await self._hook.intake.page(self._limit(), after)
        except NoSuchTask:
            raise Refused(error_responses.bad_parameter("after", "the id of an existing task")) from None
        self.reply(200, {"pending": page.pending, "tasks": page.tasks, "next": page.next})

    def _limit(self) -> int:
        text = self._parameter("limit") or str(_DEFAULT_PAGE)
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= _MAX_PAGE:
            raise Refused(error_responses.bad_parameter("limit", f"a number from 1 to {_MAX_PAGE}"))
        return int(text)

    def _parameter(self, name: str) -> str | None:
        values = self.request.query_arguments.get(name, [])
        if len(values) > 1:
            raise Refused(error_responses.bad_parameter(name, "given once"))
        return values[0].decode("latin-1") if values else None


class WrongPath(UnknownPath):
    """A path that does not exist. If it contains a right key, the log says so.

    The response is the same for every key, because wrong keys in such paths are not counted.
    """

    def initialize(self, hook: HookContext) -> None:
        self._hook = hook

    def refused(self, response: ErrorResponse) -> None:
        super().refused(response)
        for part in self.request.path.rstrip("/").rsplit("/", _KEY_PARTS)[-_KEY_PARTS:]:
            if (name := self._hook.keys.name_of(offered_key(part))) is not None:
                message = (
                    "a request from %s has a right key (%s) at a wrong path: the URL must end in /tasks/ and the key"
                )
                self._hook.throttle.warning("wrong_path", message, printable(self.peer.shown), name)
                return


def offered_key(text: str) -> bytes:
    """Return the key in a part of a URL's path, with percent-encoding removed."""
    return unquote_to_bytes(text.encode("latin-1"))


def log_warnings(receipt: IntakeReceipt) -> None:
    """Log a line for each picture that is left out and for each field that is ignored, up to a bound."""
    lines = [f"picture {each.field} left out: {each.reason}" for each in receipt.rejected]
    lines += receipt.warnings
    warn_of_each(log, receipt.id, [printable(line) for line in lines])


def hook_application(
    *,
    intake: Intake,
    keys: Keys,
    metrics: Metrics,
    activity: Activity,
    limits: ListenerLimits,
    wrong_keys: int,
    peers: Peers,
    nonces: Nonces,
    draining: Draining,
) -> Site:
    """Return the site for `listener.listen`. A client that sends more than `wrong_keys` wrong keys has to wait."""
    hook = HookContext(
        intake=intake,
        keys=keys,
        metrics=metrics,
        activity=activity,
        memory=BodyMemory(limits.bodies_bytes, limits.body_bytes, limits.memory_seconds),
        wrong_keys=WrongKeyLimiter(wrong_keys),
        draining=draining,
    )
    paths = [
        url("/(?:tasks/?)?", Status, {"nonces": nonces, "draining": draining}),
        url(f"{_PREFIX}[^/]+/?", Tasks, {"hook": hook}),
        url(".*", WrongPath, {"hook": hook}),
    ]
    return Site([*paths], UnknownPath, limits, peers)
