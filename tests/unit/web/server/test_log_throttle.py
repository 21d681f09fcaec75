"""Limit the log lines that anyone on the network can cause."""

import logging

import pytest

from camiohookd.web.server.log_throttle import Throttle, printable, quieten_tornado

log = logging.getLogger("test_loglines")


class Clock:
    """Seconds, moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_logs_one_warning_of_a_kind_per_interval(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    throttle = Throttle(log, seconds=60, clock=clock)
    for _ in range(1000):
        throttle.warning("wrong_key", "refused from=%s", "192.0.2.1")
    assert caplog.messages == ["refused from=192.0.2.1"]
    clock.now = 60.0
    throttle.warning("wrong_key", "refused from=%s", "192.0.2.2")
    assert caplog.messages[1:] == ["refused from=192.0.2.2; 999 more of this kind since the last such line"]


def test_kinds_are_throttled_separately(caplog: pytest.LogCaptureFixture) -> None:
    throttle = Throttle(log, clock=Clock())
    throttle.warning("wrong_key", "a")
    throttle.warning("too_large", "b")
    assert caplog.messages == ["a", "b"]


def test_throttles_tornados_warnings_and_passes_its_errors(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tornado = logging.getLogger("tornado.general")
    for _ in range(2):
        quieten_tornado()
    for number in range(1000):
        tornado.info("Malformed HTTP message from %s", number)
        tornado.warning("SSL Error on %d", number)
    tornado.error("something is wrong")
    assert caplog.messages == ["a connection failed: SSL Error on 0", "something is wrong"]


@pytest.mark.parametrize("text", ["one\ntwo", "one\r<3>two", "one\x85two", "one\u2028two", "one\x1b[2Jtwo", "a\0b"])
def test_input_cannot_start_a_new_log_line(text: str) -> None:
    assert len(printable(text).splitlines()) == 1
    assert printable(text).isprintable()


def test_shortens_a_long_text_with_an_ellipsis() -> None:
    assert len(printable("x" * 100_000)) == 200
    assert printable("x" * 100_000).endswith("…")
    assert printable("front door é") == "front door é"
