"""Compare the OpenAPI description with its listener: both have the same paths, methods and answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from camiohookd.errors import QueueFull, StoreUnavailable
from camiohookd.web import openapi
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import ErrorResponse
from camiohookd.web.server.listener import ListenerLimits
from tests.integration.test_admin_listener import get, with_admin
from tests.integration.test_hook_listener import KEY, Box, event
from tests.support.raw_http import head, read_answer

DESCRIPTION = openapi.describe("1.2.3")
SMALL = ListenerLimits(body_bytes=2000, bodies_bytes=3000, header_seconds=0.2, discard_seconds=0.2)
FROM_ONE = "X-Forwarded-For: 192.0.2.1"
# The answers to undescribed paths and methods, and those of the other listeners.
OF_OTHERS = {"method_not_allowed", "foreign_host", "no_such_task", "wrong_state"}
OF_OTHERS |= {"password_needed", "log_in", "wrong_password", "bad_form", "forged_form"}  # of the status page

Had = tuple[int, str]
"""A status and the error's code; "" for none."""


def described(path: str, method: str) -> set[Had]:
    responses = DESCRIPTION["paths"][path][method]["responses"]
    media = {int(status): each["content"]["application/json"] for status, each in responses.items()}
    refusals = {
        (status, each["value"]["error"]["code"])
        for status in media
        for each in media[status].get("examples", {}).values()
    }
    return {(200, "")} | refusals


def ask(box: Box, sent: bytes) -> Had:
    with box.connect() as connection:
        connection.sendall(sent)
        status, told = read_answer(connection)
    return status, told.get("error", {}).get("code", "")


def post(box: Box, path: str, body: bytes, *headers: str) -> Had:
    return ask(box, head("POST", path, f"Content-Length: {len(body)}", *headers) + body)


@contextmanager
def failing(box: Box, error: Exception) -> Iterator[None]:
    """Make every call of the queue raise `error` in the block."""

    async def page(_limit: int, _after: str | None) -> Any:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box.intake, "page", page)
        patch.setattr(box.intake, "error", error)
        yield


def of_any_request(box: Box, method: str, path: str) -> Iterator[Had]:
    yield ask(box, head(method, path, "Content-Length: 0"))
    yield ask(box, f"{method} {path} HTTP/1.1\n\n\r\n\r\n".encode())
    yield ask(box, head(method, path, "Content-Length: 5, 5"))
    yield ask(box, head(method, path, "Content-Length: 5000"))
    yield ask(box, head(method, path, "Transfer-Encoding: chunked"))  # and send nothing of it
    with (
        Box(limits=ListenerLimits(connections_of_one=1), proxies=("127.0.0.1",)).running() as crowded,
        crowded.connect() as first,
    ):
        first.sendall(head("GET", f"/tasks/{KEY}", FROM_ONE))
        assert read_answer(first)[0] == 200
        yield ask(crowded, head(method, path, FROM_ONE))
    with pytest.MonkeyPatch.context() as patch:
        for endpoint in ("Status", "Tasks"):
            patch.delattr(f"camiohookd.web.hook.{endpoint}.serve")  # an unexpected exception
        yield ask(box, head(method, path, "Content-Length: 0"))


def with_a_key(box: Box, method: str, path: str) -> Iterator[Had]:
    yield ask(box, head(method, f"{path}x"))
    yield ask(box, head(method, f"{path}/x"))
    with failing(box, StoreUnavailable("the disk")):
        yield post(box, path, event()) if method == "POST" else ask(box, head(method, path))
    with Box(wrong_keys=1, proxies=("127.0.0.1",)).running() as guessed:
        yield [ask(guessed, head(method, f"{path}x", FROM_ONE)) for _ in range(2)][1]


def while_it_drains(box: Box, method: str, path: str) -> Had:
    """Return the answer of a box that takes no new events."""
    box.draining.begin(0)
    try:
        return post(box, path, event()) if method == "POST" else ask(box, head(method, path))
    finally:
        box.draining.end()


def of_a_page(box: Box, path: str) -> Iterator[Had]:
    yield ask(box, head("GET", f"{path}?limit=0"))


def of_an_event(box: Box, path: str) -> Iterator[Had]:
    yield post(box, path, event(callback_url=None))
    yield post(box, path, event(callback_url="https://10.0.0.1/x"))
    yield post(box, path, b"{}", "Content-Encoding: gzip")
    yield post(box, path, b"{}", "Content-Encoding: br")
    with failing(box, QueueFull("full", 73)):
        yield post(box, path, event())
    with box.connect() as other:
        other.sendall(head("POST", path, "Content-Length: 2000", "Expect: 100-continue"))
        assert other.recv(4096).startswith(b"HTTP/1.1 100 ")
        yield ask(box, head("POST", path, "Content-Length: 1500"))


@pytest.mark.parametrize(
    ("path", "method"),
    [("/", "get"), ("/tasks", "get"), ("/tasks/", "get"), ("/tasks/{api_key}", "get"), ("/tasks/{api_key}", "post")],
)
def test_describes_exactly_the_responses_that_occur(path: str, method: str) -> None:
    verb, real = method.upper(), path.format(api_key=KEY)
    with Box(limits=SMALL).running() as box:
        had = set(of_any_request(box, verb, real))
        if real != path:
            had |= set(with_a_key(box, verb, real))
            had |= set(of_a_page(box, real) if method == "get" else of_an_event(box, real))
        if (path, method) != ("/tasks/{api_key}", "get"):
            had.add(while_it_drains(box, verb, real))
    assert had == described(path, method)


def test_describes_only_the_public_listener() -> None:
    methods = {path: set(item) - {"parameters"} for path, item in DESCRIPTION["paths"].items()}
    status = {"get", "head"}
    assert methods == {"/": status, "/tasks": status, "/tasks/": status, "/tasks/{api_key}": {"get", "head", "post"}}


def test_every_error_response_is_described_or_belongs_to_another_listener() -> None:
    constants = {each.code for each in vars(error_responses).values() if isinstance(each, ErrorResponse)}
    lists = (openapi.OF_THE_STATUS, openapi.OF_A_PAGE, openapi.OF_AN_EVENT)
    assert constants <= {each.code for answers_of in lists for each in answers_of} | OF_OTHERS


def test_the_private_listener_serves_the_description() -> None:
    answer = with_admin(get("/openapi.json"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    served = answer.json()
    assert served == openapi.describe(served["info"]["version"])
    assert with_admin(get("/openapi.json", Host="attacker.example")).status_code == 403
