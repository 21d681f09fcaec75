import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from camiohookd.delivery.deadline import Watchdogs

PATIENCE = 30.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(PATIENCE)
        yield ours, theirs


def looking_after() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "watchdog"}


def test_a_connection_ends_when_its_time_is_over_and_not_before(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    started = time.monotonic()
    with Watchdogs(0.2).one() as watchdog:
        watchdog.watch(ours)
        assert not watchdog.fired
        assert ours.recv(1) == b""
        assert watchdog.fired
    assert 0.2 <= time.monotonic() - started < PATIENCE


def test_what_is_watched_only_when_the_time_is_over_ends_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _ = pair
    with Watchdogs(0.01).one() as watchdog:
        while not watchdog.fired:
            time.sleep(0.01)
        watchdog.watch(ours)
        assert ours.recv(1) == b""


def test_who_is_done_is_left_alone_while_another_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    watchdogs = Watchdogs(0.1)
    with watchdogs.one() as done:
        done.watch(ours)
    with watchdogs.one() as other:
        while not other.fired:
            time.sleep(0.01)
    assert not done.fired
    theirs.send(b"x")
    assert ours.recv(1) == b"x"


def test_each_has_its_own_time_though_one_thread_looks_after_all() -> None:
    before = looking_after()
    watchdogs = Watchdogs(0.3)
    with ExitStack() as all_of_them:
        first, second = (all_of_them.enter_context(watchdogs.one()) for _ in range(2))
        time.sleep(0.2)
        third = all_of_them.enter_context(watchdogs.one())
        assert len(looking_after() - before) == 1
        while not (first.fired and second.fired):
            time.sleep(0.01)
        assert not third.fired or time.monotonic() >= third.ends
        while not third.fired:
            time.sleep(0.01)


def test_the_thread_ends_when_there_is_nobody_to_look_after_and_another_begins_with_the_next() -> None:
    before = looking_after()
    watchdogs = Watchdogs(0.1)
    for _ in range(2):
        with watchdogs.one():
            pass
        assert len(looking_after() - before) == 1
        for thread in looking_after() - before:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_deadline_is_none_the_worse_for_a_thread_that_could_not_be_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    watchdogs = Watchdogs(0.05)
    with monkeypatch.context() as out_of_threads, pytest.raises(RuntimeError):
        out_of_threads.setattr(threading.Thread, "start", _no_more_threads)
        with watchdogs.one():
            pytest.fail("nobody would look after it")
    with watchdogs.one() as watchdog:
        while not watchdog.fired:
            time.sleep(0.01)


def _no_more_threads(_thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")
