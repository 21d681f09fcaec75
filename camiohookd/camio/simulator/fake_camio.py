"""Act as Camio: post events, and serve the single-use callback URLs.

`FakeCamio.post` posts an event → the hook delivers to the URL from `callback_url` → `answer` decides the response →
`labels_of` returns. Everything belongs to the event loop on which `listen` was called.
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
    """The response to a delivery, sent after `delay` seconds."""

    status: int = 200
    headers: Mapping[str, str] = {}
    delay: float = 0.0


Answerer = Callable[[str, int], ScriptedResponse]
"""Returns the response to a delivery, given the event's id and the number of its earlier deliveries."""


@dataclass(frozen=True, slots=True)
class ReceivedReply:
    """One POST to a callback URL; `at` is `time.monotonic()` of its arrival, `status` that of the response."""

    event_id: str
    body: bytes
    content_type: str
    at: float
    status: int

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300


class HookResponse(NamedTuple):
    """The hook's response to an event."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def always_accept(event_id: str, nth: int) -> ScriptedResponse:  # noqa: ARG001  # an `Answerer`
    """Respond 200 to every delivery; the contract allows repeated ones."""
    return ScriptedResponse()


class FakeCamio:
    """Receives labels, records every delivery in `deliveries` by event in the order of arrival, and responds to it.

    Deliveries to a URL that `callback_url` has not returned get 404 and are counted in `strays`. With `insecure` every
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
        """Serve callbacks; `public_host` is the name of `host` in callback URLs, if it differs. Raises OSError."""
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
        """Stop serving, and close the connections."""
        self._client.close()
        self._server.stop()
        await self._server.close_all_connections()

    def callback_url(self, event_id: str) -> str:
        """Return the callback URL of an event."""
        self.deliveries.setdefault(event_id, [])
        return f"{self.origin}/callback/{event_id}"

    async def labels_of(self, event_id: str, timeout: float) -> ReceivedReply:
        """Wait for an event's first delivery that got a 2xx response. Raises TimeoutError."""
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
        """Record one delivery and return the response to it."""
        if event_id not in self.deliveries:
            self.strays += 1
            return ScriptedResponse(404)
        earlier = self.deliveries[event_id]
        response = self.answer(event_id, len(earlier))
        delivery = ReceivedReply(event_id, body, content_type, time.monotonic(), response.status)
        earlier.append(delivery)
        await asyncio.sleep(response.delay)
        accepted = self._future(event_id)
        if delivery.accepted and not accepted.done():
            accepted.set_result(delivery)
        return response

    def _future(self, event_id: str) -> asyncio.Future[ReceivedReply]:
        if event_id not in self._accepted:
            self._accepted[event_id] = asyncio.get_running_loop().create_future()
        return self._accepted[event_id]


class _CallbackHandler(RequestHandler):
    def initialize(self, camio: FakeCamio) -> None:
        self.camio = camio

    async def post(self, event_id: str) -> None:
        content_type = self.request.headers.get("Content-Type", "")
        response = await self.camio.receive(event_id, self.request.body, content_type)
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)


def _no_log(handler: RequestHandler) -> None:
    """Log nothing; the report lists every delivery."""
