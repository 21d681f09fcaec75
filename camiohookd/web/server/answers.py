"""Errors into HTTP answers: the one place that says which error is which status.

error ─▶ `answer_for` ─▶ `ErrorResponse` ─▶ ``{"error": {"code", "message", "field"}}`` and its headers.

An outsider gets a sentence about the request and nothing about this program: what nobody expected is a 503, to be
tried again, while its traceback goes to the log.
"""

from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from tornado.web import HTTPError

from camiohookd.errors import (
    CamiohookdError,
    NoSuchTask,
    PayloadError,
    PrivateCallback,
    QueueFull,
    StoreUnavailable,
    WrongState,
)

STORE_RETRY_SECONDS = 30
BUSY_RETRY_SECONDS = 5

COMMON_HEADERS = {
    "Server": "camiohookd",
    "Cache-Control": "no-store",
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error as it leaves: `code` is for programs, `field` names the place in the event, `retry_after` is seconds."""

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after: int | None = None
    allow: tuple[str, ...] = ()

    def headers(self) -> dict[str, str]:
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.allow:
            headers["Allow"] = ", ".join(self.allow)
        return headers

    def body(self) -> bytes:
        """JSON, UTF-8."""
        error = {"code": self.code, "message": self.message, "field": self.field}
        return msgspec.json.encode({"error": error})

    def last_message(self) -> bytes:
        """The whole HTTP message, for a connection that ends with it."""
        body = self.body()
        headers = {**COMMON_HEADERS, **self.headers(), "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Refused(CamiohookdError):
    """A request that is not served; `answer` says why."""

    def __init__(self, answer: ErrorResponse) -> None:
        super().__init__(answer.message)
        self.answer = answer


WRONG_KEY = ErrorResponse(403, "wrong_key", "the key at the end of the URL is not one of this hook's keys")
FOREIGN_HOST = ErrorResponse(
    403, "foreign_host", "this listener answers only to an IP address or localhost, so use one in the URL"
)
UNKNOWN_PATH = ErrorResponse(404, "unknown_path", "there is nothing at this path")
BODY_LATE = ErrorResponse(408, "body_late", "the body did not arrive in time, so send it again")
ENCODED_BODY = ErrorResponse(
    415, "encoded_body", "a body with a Content-Encoding other than gzip is not taken, so send the JSON as it is"
)
BAD_GZIP = ErrorResponse(
    400, "bad_gzip", "the body is not one whole gzip file and nothing else, though its headers say so"
)
BAD_REQUEST = ErrorResponse(
    400, "bad_request", "this is not a well-formed HTTP/1.1 request, or its chunked body is not well-formed"
)
BAD_FRAMING = ErrorResponse(
    400, "bad_framing", "the body's length must be given by one Content-Length or by Transfer-Encoding: chunked"
)
BODIES_IN_FLIGHT = ErrorResponse(
    503, "busy", "too many events are arriving at once, so try again later", retry_after=BUSY_RETRY_SECONDS
)
TOO_MANY_CONNECTIONS = ErrorResponse(
    503, "busy", "your address has too many connections, so try again later", retry_after=BUSY_RETRY_SECONDS
)
UNEXPECTED = ErrorResponse(
    503, "unavailable", "the request could not be served, so try again later", retry_after=STORE_RETRY_SECONDS
)


def too_large(limit: int) -> ErrorResponse:
    """`limit` is what the path takes, bytes."""
    if limit == 0:
        return ErrorResponse(413, "too_large", "this request takes no body")
    return ErrorResponse(413, "too_large", f"the body is larger than {limit} bytes, the most that is taken")


def too_many_wrong_keys(wait: int) -> ErrorResponse:
    """`wait` is seconds."""
    message = (
        f"too many wrong keys came from your address, so wait {wait} seconds before the next; a right one is taken"
    )
    return ErrorResponse(429, "too_many_wrong_keys", message, retry_after=wait)


def not_allowed(methods: tuple[str, ...]) -> ErrorResponse:
    """`methods` are those that the path has; a path that has none does not exist."""
    if not methods:
        return UNKNOWN_PATH
    return ErrorResponse(405, "method_not_allowed", f"this path takes only {' and '.join(methods)}", allow=methods)


def bad_parameter(name: str, expected: str) -> ErrorResponse:
    return ErrorResponse(400, "bad_parameter", f"{name} must be {expected}", field=name)


def answer_for(error: BaseException | None, methods: tuple[str, ...] = ()) -> ErrorResponse:
    """The answer to a request that ended in `error`, at a path that takes `methods`."""
    match error:
        case Refused():
            return error.answer
        case PayloadError():
            return ErrorResponse(400, error.code, error.message, error.field)
        case PrivateCallback():
            return ErrorResponse(400, "callback_not_allowed", str(error), "callback_url")
        case QueueFull():
            return ErrorResponse(503, "queue_full", str(error), retry_after=error.retry_after)
        case StoreUnavailable():
            message = "the event could not be stored, so try again later"
            return ErrorResponse(503, "store_unavailable", message, retry_after=STORE_RETRY_SECONDS)
        case NoSuchTask():
            return ErrorResponse(404, "no_such_task", str(error), "id")
        case WrongState():
            return ErrorResponse(409, "wrong_state", str(error), "id")
        case HTTPError(status_code=405):
            return not_allowed(methods)
    return UNEXPECTED
