"""Camio's side of the wire: a server for the single-use callback URLs, and the POST of an event.

An event is posted with `FakeCamio.post` → the hook delivers to the URL that `callback_url` gave out → `answer` decides
what it is told → `labels_of` returns. Everything here belongs to the event loop that `listen` was called on.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.web import Application, RequestHandler

MAX_REPLY_BYTES = 32_000_000
MAX_ANSWER_BYTES = 1_000_000
MAX_POSTS = 1000


class ScriptedResponse(NamedTuple):
    """How a delivery is answered, after `delay` seconds."""

    status: int = 200
    headers: Mapping[str, str] = {}
    delay: float = 0.0


Answerer = Callable[[str, int], ScriptedResponse]
"""The event's id and the number of its deliveries before this one → the answer to this one."""


@dataclass(frozen=True, slots=True)
class ReceivedReply:
    """One POST to a callback URL; `at` is `time.monotonic()` of its arrival, `status` what it is answered."""

    event_id: str
    body: bytes
    content_type: str
    at: float
    status: int

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class HookResponse(NamedTuple):
    """What the hook answered to an event."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def always_accept(event_id: str, nth: int) -> ScriptedResponse:  # noqa: ARG001  # an `Answerer`
    """Answer 200, a repeated delivery too: at least once is what the contract promises."""
    return ScriptedResponse()


class FakeCamio:
    """Receives labels, notes every delivery in `deliveries` by event in the order of arrival, and answers it.

    A URL that `callback_url` has not given out is answered 404 and counted in `strays`. With `insecure` every
    certificate of a hook is accepted.
    """

    def __init__(self, answer: Answerer = always_accept, *, insecure: bool = False) -> None:
        self.answer = answer
        self._insecure = insecure
        self.origin = ""
        self.deliveries: dict[str, list[ReceivedReply]] = {}
        self.strays = 0
        self._accepted: dict[str, asyncio.Future[ReceivedReply]] = {}

    async def listen(self, host: str = "127.0.0.1", port: int = 0, public_host: str | None = None) -> None:
        """Serve callbacks; `public_host` is what others call `host`, if it is not the same. Raises OSError."""
        routes = [(r"/callback/([0-9A-Za-z_-]+)", _CallbackHandler, {"camio": self})]
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        listener.setblocking(False)
        self._server = HTTPServer(Application(routes, log_function=_no_log), max_buffer_size=MAX_REPLY_BYTES)
        self._server.add_socket(listener)
        name = public_host or host
        self.origin = f"http://{f'[{name}]' if ':' in name else name}:{listener.getsockname()[1]}"
        self._client = AsyncHTTPClient(force_instance=True, max_clients=MAX_POSTS, max_body_size=MAX_ANSWER_BYTES)

    async def close(self) -> None:
        """Stop serving and drop the connections."""
        self._client.close()
        self._server.stop()
        await self._server.close_all_connections()

    def callback_url(self, event_id: str) -> str:
        """Give out the callback URL of an event."""
        self.deliveries.setdefault(event_id, [])
        return f"{self.origin}/callback/{event_id}"

    async def labels_of(self, event_id: str, timeout: float) -> ReceivedReply:
        """Wait for the first delivery of an event that was answered with success; raises TimeoutError."""
        return await asyncio.wait_for(asyncio.shield(self._future(event_id)), timeout)

    async def post(self, url: str, body: bytes, timeout: float) -> HookResponse:
        """Post an event. Raises OSError, whose text does not repeat the URL, if no answer comes."""
        return await self._ask(url, timeout, method="POST", body=body, headers={"Content-Type": "application/json"})

    async def get(self, url: str, timeout: float) -> HookResponse:
        """Get `url`. Raises OSError as `post` does, and TimeoutError."""
        return await self._ask(url, timeout)

    async def _ask(self, url: str, timeout: float, **request: Any) -> HookResponse:
        try:
            response = await self._client.fetch(
                HTTPRequest(
                    url,
                    follow_redirects=False,
                    connect_timeout=timeout,
                    request_timeout=timeout,
                    validate_cert=not self._insecure,
                    **request,
                ),
                raise_error=False,
            )
        except HTTPTimeoutError as error:
            raise TimeoutError(str(error.message)) from None
        except HTTPClientError as error:
            raise OSError(str(error.message)) from None
        return HookResponse(response.code, response.headers, response.body)

    async def receive(self, event_id: str, body: bytes, content_type: str) -> ScriptedResponse:
        """Take one delivery and return the answer to it."""
        if event_id not in self.deliveries:
            self.strays += 1
            return ScriptedResponse(404)
        earlier = self.deliveries[event_id]
        answer = self.answer(event_id, len(earlier))
        delivery = ReceivedReply(event_id, body, content_type, time.monotonic(), answer.status)
        earlier.append(delivery)
        await asyncio.sleep(answer.delay)
        accepted = self._future(event_id)
        if delivery.accepted and not accepted.done():
            accepted.set_result(delivery)
        return answer

    def _future(self, event_id: str) -> asyncio.Future[ReceivedReply]:
        if event_id not in self._accepted:
            self._accepted[event_id] = asyncio.get_running_loop().create_future()
        return self._accepted[event_id]


class _CallbackHandler(RequestHandler):
    def initialize(self, camio: FakeCamio) -> None:
        self.camio = camio

    async def post(self, event_id: str) -> None:
        content_type = self.request.headers.get("Content-Type", "")
        answer = await self.camio.receive(event_id, self.request.body, content_type)
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)


def _no_log(handler: RequestHandler) -> None:
    """Say nothing of a request: the report does."""
