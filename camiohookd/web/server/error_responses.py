"""Maps errors to HTTP responses: the only place that says which error has which status.

error ─▶ `response_for` ─▶ `ErrorResponse` ─▶ ``{"error": {"code", "message", "field"}}`` and its headers.

A client gets a message about its request and nothing about this program: an unexpected error is a 503, and its
traceback goes to the log.
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
from camiohookd.units import plural, size

STORE_RETRY_SECONDS = 30
BUSY_RETRY_SECONDS = 5
DRAINING_RETRY_SECONDS = 10

COMMON_HEADERS = {
    "Server": "camiohookd",
    "Cache-Control": "no-store",
    "Content-Type": "application/json",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """An error response: `code` is for programs, `field` names the place in the event, `retry_after` is in seconds.

    `authenticate` is the challenge of a 401 (RFC 9110, section 11.6.1).
    """

    status: int
    code: str
    message: str
    field: str | None = None
    retry_after: int | None = None
    allow: tuple[str, ...] = ()
    authenticate: str = ""

    def headers(self) -> dict[str, str]:
        """Return the headers that only this response has."""
        headers = {}
        if self.retry_after is not None:
            headers["Retry-After"] = str(self.retry_after)
        if self.allow:
            headers["Allow"] = ", ".join(self.allow)
        if self.authenticate:
            headers["WWW-Authenticate"] = self.authenticate
        return headers

    def body(self) -> bytes:
        """Return the body as UTF-8 JSON."""
        error = {"code": self.code, "message": self.message, "field": self.field}
        return msgspec.json.encode({"error": error})

    def last_message(self) -> bytes:
        """Return the whole HTTP message, which ends its connection."""
        body = self.body()
        headers = {**COMMON_HEADERS, **self.headers(), "Content-Length": str(len(body)), "Connection": "close"}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body


class Refused(CamiohookdError):
    """A request that is refused with `response`."""

    def __init__(self, response: ErrorResponse) -> None:
        super().__init__(response.message)
        self.response = response


WRONG_KEY = ErrorResponse(403, "wrong_key", "the key at the end of the URL is not one of this hook's keys")
FOREIGN_HOST = ErrorResponse(
    403,
    "foreign_host",
    "this listener only serves requests to an IP address, localhost, a name in its certificate or one of hosts under "
    "[admin]; use one in the URL",
)
PASSWORD_NEEDED = ErrorResponse(
    401,
    "password_needed",
    'this path takes the password of "camiohookd admin password" from other machines, by Basic authentication with any '
    "user name",
    authenticate='Basic realm="camiohookd", charset="UTF-8"',
)
LOG_IN = ErrorResponse(
    401, "log_in", "you are not logged in, or your login has expired; open the page again and log in"
)
WRONG_PASSWORD = ErrorResponse(403, "wrong_password", "the password is wrong")
FORGED_FORM = ErrorResponse(
    403,
    "forged_form",
    "this form did not come from this page, or it is too old; go back, reload the page and try again",
)
BAD_FORM = ErrorResponse(400, "bad_form", "the form is not well-formed; go back, reload the page and try again")
PASSWORDS_AT_ONCE = ErrorResponse(
    503, "busy", "several passwords are being checked; try again in a few seconds", retry_after=BUSY_RETRY_SECONDS
)
TOO_MANY_LIVE = ErrorResponse(503, "busy", "too many pages are open for live updates; close one of them")
UNKNOWN_PATH = ErrorResponse(404, "unknown_path", "this path does not exist")
BODY_LATE = ErrorResponse(408, "body_late", "the body did not arrive in time; send it again")
ENCODED_BODY = ErrorResponse(415, "encoded_body", "Content-Encoding must be gzip or absent; send the JSON uncompressed")
BAD_GZIP = ErrorResponse(
    400, "bad_gzip", "Content-Encoding is gzip, but the body is not exactly one complete gzip file"
)
BAD_REQUEST = ErrorResponse(400, "bad_request", "the request, or its chunked body, is not well-formed HTTP/1.1")
BAD_FRAMING = ErrorResponse(
    400, "bad_framing", "give the body's length by exactly one Content-Length or by Transfer-Encoding: chunked"
)
BODIES_IN_FLIGHT = ErrorResponse(
    503, "busy", "too many events are arriving at once; try again later", retry_after=BUSY_RETRY_SECONDS
)
TOO_MANY_CONNECTIONS = ErrorResponse(
    503, "busy", "your address has too many connections; try again later", retry_after=BUSY_RETRY_SECONDS
)
DRAINING = ErrorResponse(
    503,
    "draining",
    "this box accepts no new events at present; send them to another box, or try again later",
    retry_after=DRAINING_RETRY_SECONDS,
)
UNEXPECTED = ErrorResponse(503, "unavailable", "the request failed; try again later", retry_after=STORE_RETRY_SECONDS)


def too_large(limit: int) -> ErrorResponse:
    """Return the response to a body over `limit` bytes, the most that the path accepts."""
    if limit == 0:
        return ErrorResponse(413, "too_large", "this request must not have a body")
    return ErrorResponse(413, "too_large", f"the body is larger than the limit of {size(limit)}")


def too_many_wrong_keys(wait: int) -> ErrorResponse:
    """Return the response to a client that has to wait `wait` seconds."""
    seconds = plural(wait, "second")
    message = f"too many wrong keys from your address; wait {seconds} (a right key is accepted at any time)"
    return ErrorResponse(429, "too_many_wrong_keys", message, retry_after=wait)


def too_many_passwords(wait: int) -> ErrorResponse:
    """Return the response to a client that has to wait `wait` seconds before its next password."""
    message = f"too many wrong passwords; wait {plural(wait, 'second')}, then try again"
    return ErrorResponse(429, "too_many_wrong_passwords", message, retry_after=wait)


def not_allowed(methods: tuple[str, ...]) -> ErrorResponse:
    """Return the response for a path that takes `methods`; without any the path does not exist."""
    if not methods:
        return UNKNOWN_PATH
    return ErrorResponse(405, "method_not_allowed", f"this path accepts only {', '.join(methods)}", allow=methods)


def bad_parameter(name: str, expected: str) -> ErrorResponse:
    """Return the response to a query parameter `name` that is not `expected`."""
    return ErrorResponse(400, "bad_parameter", f"{name} must be {expected}", field=name)


def response_for(error: BaseException | None, methods: tuple[str, ...] = ()) -> ErrorResponse:
    """Return the response to a request that ended in `error`, at a path that takes `methods`."""
    match error:
        case Refused():
            return error.response
        case PayloadError():
            return ErrorResponse(400, error.code, error.message, error.field)
        case PrivateCallback():
            return ErrorResponse(400, "callback_not_allowed", str(error), "callback_url")
        case QueueFull():
            return ErrorResponse(503, "queue_full", str(error), retry_after=error.retry_after)
        case StoreUnavailable():
            message = "the event could not be stored; try again later"
            return ErrorResponse(503, "store_unavailable", message, retry_after=STORE_RETRY_SECONDS)
        case NoSuchTask():
            return ErrorResponse(404, "no_such_task", str(error), "id")
        case WrongState():
            return ErrorResponse(409, "wrong_state", str(error), "id")
        case HTTPError(status_code=405):
            return not_allowed(methods)
    return UNEXPECTED
