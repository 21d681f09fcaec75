"""The HTTP response to each error."""

import msgspec
import pytest
from tornado.httputil import HTTPHeaders
from tornado.web import HTTPError

from camiohookd.errors import NoSuchTask, PayloadError, PrivateCallback, QueueFull, StoreUnavailable, WrongState
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import ErrorResponse, Refused, response_for
from camiohookd.web.server.request_body import declared_length


def test_a_payload_error_is_a_400_that_names_the_field() -> None:
    answer = response_for(PayloadError("missing", "callback_url is missing", "callback_url"))
    assert (answer.status, answer.headers()) == (400, {})
    assert msgspec.json.decode(answer.body()) == {
        "error": {"code": "missing", "message": "callback_url is missing", "field": "callback_url"}
    }


def test_a_callback_to_a_private_address_is_a_400_of_the_field_callback_url() -> None:
    answer = response_for(PrivateCallback("callback host not allowed: 10.0.0.1 is a private address"))
    assert (answer.status, answer.code, answer.field) == (400, "callback_not_allowed", "callback_url")
    assert answer.message == "callback host not allowed: 10.0.0.1 is a private address"


def test_a_full_queue_sends_retry_after() -> None:
    answer = response_for(QueueFull("100000 events wait", retry_after=73))
    assert (answer.status, answer.headers()) == (503, {"Retry-After": "73"})


def test_a_storage_failure_is_a_503_that_hides_the_reason() -> None:
    answer = response_for(StoreUnavailable("/var/lib/camiohookd: I/O error"))
    assert answer.status == 503
    assert "Retry-After" in answer.headers()
    assert b"/var/lib" not in answer.body()


UNKNOWN = [None, RuntimeError("secret"), KeyError("secret"), HTTPError(500)]


@pytest.mark.parametrize("error", UNKNOWN)
def test_an_unexpected_error_is_a_503_that_hides_the_reason(error: BaseException | None) -> None:
    answer = response_for(error)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "Retry-After" in answer.headers()
    assert b"secret" not in answer.body()


def test_a_missing_task_is_a_404_and_a_wrong_state_a_409() -> None:
    missing, wrong = response_for(NoSuchTask("no task 7")), response_for(WrongState("task 7 is done"))
    assert (missing.status, missing.code, missing.message) == (404, "no_such_task", "no task 7")
    assert (wrong.status, wrong.code, wrong.message) == (409, "wrong_state", "task 7 is done")


def test_a_wrong_method_is_a_405_with_the_allowed_methods() -> None:
    answer = response_for(HTTPError(405), ("GET", "POST"))
    assert (answer.status, answer.headers()) == (405, {"Allow": "GET, POST"})


def test_a_wrong_method_on_a_missing_path_is_a_404() -> None:
    assert response_for(HTTPError(405), ()) is error_responses.UNKNOWN_PATH


def test_a_refusal_has_its_own_response() -> None:
    answer = ErrorResponse(415, "encoded_body", "no")
    assert response_for(Refused(answer)) is answer


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ({}, 0),
        ({"Content-Length": "0"}, 0),
        ({"Content-Length": "33554433"}, 33554433),
        ({"Content-Length": "0" * 20 + "5"}, 5),
        ({"Content-Length": "9" * 15}, 10**15 - 1),
        ({"Content-Length": "9" * 16}, 10**15),
        ({"Content-Length": "9" * 5000}, 10**15),
        ({"Transfer-Encoding": "Chunked"}, None),
    ],
)
def test_the_length_of_a_body_is_read_from_its_headers(headers: dict[str, str], length: int | None) -> None:
    assert declared_length(HTTPHeaders(headers)) == length


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": ""},
        {"Content-Length": "-1"},
        {"Content-Length": "+1"},
        {"Content-Length": "0x10"},
        {"Content-Length": "1_0"},
        {"Content-Length": "\N{SUPERSCRIPT TWO}"},
        {"Content-Length": "5,5"},
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Transfer-Encoding": "gzip, chunked"},
        {"Transfer-Encoding": ""},
    ],
)
def test_refuses_ambiguous_framing_headers(headers: dict[str, str]) -> None:
    with pytest.raises(Refused) as refusal:
        declared_length(HTTPHeaders(headers))
    assert refusal.value.response.status == 400
