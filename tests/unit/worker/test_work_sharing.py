"""Threads that share work do each part once, keep the order of results, and do not wait for each other."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from camiohookd.worker.work_sharing import Shared

PATIENCE = 30.0


def squares(count: int) -> Shared[int, int, list[int]]:
    return Shared(lambda: range(count), lambda part: part**2, list)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_part_is_done_once_and_the_results_are_in_order(threads: int) -> None:
    work = squares(1000)
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(threads):
            pool.submit(work.join)
        assert work.done.result(PATIENCE) == [number**2 for number in range(1000)]


def test_threads_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3)
    work: Shared[int, int, list[int]] = Shared(lambda: range(3), lambda _: meeting.wait(PATIENCE), list)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(work.join)
        assert sorted(work.done.result(PATIENCE)) == [0, 1, 2]


def test_works_without_parts() -> None:
    work = squares(0)
    work.join()
    assert work.done.result(0) == []


def test_a_thread_that_joins_late_returns_at_once() -> None:
    work = squares(2)
    work.join()
    work.join()
    assert work.done.result(0) == [0, 1]


def test_is_done_only_after_the_last_part() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow_first(part: int) -> int:
        if part == 0:
            begun.set()
            go_on.wait(PATIENCE)
        return part

    work: Shared[int, int, list[int]] = Shared(lambda: range(3), slow_first, list)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work.join)
        begun.wait(PATIENCE)
        work.join()  # takes the others, and does not wait for the first
        assert not work.done.done()
        go_on.set()
        assert work.done.result(PATIENCE) == [0, 1, 2]


def test_an_error_is_raised_and_no_further_part_is_taken() -> None:
    taken = []

    def fail(part: int) -> NoReturn:
        taken.append(part)
        raise ValueError(part)

    work: Shared[int, int, list[int]] = Shared(lambda: range(9), fail, list)
    work.join()
    work.join()
    with pytest.raises(ValueError, match="0"):
        work.done.result(0)
    assert taken == [0]


def test_an_error_is_raised_only_after_all_threads_finished() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def first_is_slow_and_second_fails(part: int) -> None:
        if part == 1:
            raise ValueError
        begun.set()
        go_on.wait(PATIENCE)

    work: Shared[int, None, list[None]] = Shared(lambda: range(2), first_is_slow_and_second_fails, list)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work.join)
        begun.wait(PATIENCE)
        work.join()
        assert not work.done.done()
        go_on.set()
        with pytest.raises(ValueError):
            work.done.result(PATIENCE)


def test_errors_in_reading_parts_and_in_joining_results_are_raised() -> None:
    def parts() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    unreadable: Shared[int, int, list[int]] = Shared(parts, abs, list)
    unreadable.join()
    with pytest.raises(OSError, match="gone"):
        unreadable.done.result(0)
    hopeless: Shared[int, int, int] = Shared(lambda: [1], abs, lambda results: results[1])
    hopeless.join()
    with pytest.raises(IndexError):
        hopeless.done.result(0)
