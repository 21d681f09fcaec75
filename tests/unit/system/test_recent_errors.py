import logging
from collections.abc import Iterator

import pytest

from camiohookd.system import logs, recent_errors
from camiohookd.system.recent_errors import RecentErrors, watch_log

log = logging.getLogger("camiohookd.tests")


@pytest.fixture
def recent() -> Iterator[RecentErrors]:
    watching = watch_log(["a-secret-key"])
    yield watching
    logging.getLogger().removeHandler(watching)


def texts(recent: RecentErrors) -> list[tuple[str, str, int]]:
    return [(each.level, each.text, each.count) for each in recent.newest_first()]


def test_keeps_warnings_and_errors_newest_first(recent: RecentErrors) -> None:
    log.info("nothing to see")
    log.warning("the disk is %s", "short")
    log.error("the disk is full")
    assert texts(recent) == [("error", "the disk is full", 1), ("warning", "the disk is short", 1)]


def test_counts_repeated_messages(recent: RecentErrors) -> None:
    for _ in range(3):
        log.warning("no answer")
    log.error("task=%d failed", 1)
    log.error("task=%d failed", 2)
    assert texts(recent) == [("error", "task=2 failed", 2), ("warning", "no answer", 3)]


def test_keeps_a_bounded_number(recent: RecentErrors) -> None:
    for number in range(recent_errors.KEPT + 5):
        log.warning("problem %s", "x" * number)
    assert len(recent.newest_first()) == recent_errors.KEPT
    assert recent.newest_first()[0].text == "problem " + "x" * (recent_errors.KEPT + 4)


def test_secrets_are_masked_also_those_of_a_reload(recent: RecentErrors) -> None:
    log.warning("a-secret-key another-secret")
    logs.change_logging("warning", ["another-secret"])
    log.warning("a-secret-key another-secret https://camio.example/callback?token=1")
    assert [text for _, text, _ in texts(recent)] == [
        "*** *** https://camio.example/callback?***",
        "*** another-secret",
    ]


def test_keeps_the_message_of_an_exception(recent: RecentErrors) -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        log.exception("unexpected error")
    assert texts(recent) == [("error", "unexpected error", 1)]
