import asyncio
import math
from collections.abc import Awaitable, Callable

import pytest

from camiohookd.worker.polling import Loops

PATIENCE = 30.0
Found = tuple[str | None, float]


class Box:
    """Loops over the items in `work`; `looks` counts the looks, `done` lists the items that were done."""

    def __init__(self, count: int, work: list[str]) -> None:
        self.work = work
        self.looks = 0
        self.done: list[str] = []
        self.leads_to: dict[str, str] = {}
        self.pause = math.inf
        self.stopping = asyncio.Event()
        self.loops = Loops(count, self._find, self._do, self.stopping)

    async def _find(self) -> Found:
        self.looks += 1
        return self._next()

    async def _do(self, found: str) -> Found:
        await asyncio.sleep(0)
        self.done.append(found)
        if found in self.leads_to:
            return self.leads_to[found], 0.0 if self.work else math.inf
        return None, math.inf

    def _next(self) -> Found:
        found = self.work.pop(0) if self.work else None
        return found, 0.0 if self.work else self.pause

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def never_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camiohookd.worker.polling.IDLE_SECONDS", 1000.0)


def with_box(use: Callable[[Box], Awaitable[None]], work: list[str], count: int = 1) -> None:
    async def run() -> None:
        box = Box(count, work)
        running = box.loops.start()
        await use(box)
        box.stopping.set()
        box.loops.look_again()
        _, left = await asyncio.wait(running, timeout=PATIENCE)
        assert not left, "all loops end after one was woken"

    asyncio.run(run())


def test_an_item_returned_by_do_is_done_without_another_look() -> None:
    async def use(box: Box) -> None:
        box.leads_to = {"a": "b", "b": "c"}
        await box.until(lambda: len(box.done) == 3)
        assert (box.done, box.looks) == (["a", "b", "c"], 1)

    with_box(use, ["a"])


def test_another_loop_looks_if_more_was_left() -> None:
    async def use(box: Box) -> None:
        await box.until(lambda: len(box.done) == 3)
        await asyncio.sleep(0.05)
        assert box.looks <= 4 + 3, "each loop once at its start, and once for what each left"

    with_box(use, ["a", "b", "c"], count=4)


def test_no_loop_looks_before_it_is_notified() -> None:
    async def use(box: Box) -> None:
        await box.until(lambda: box.looks == 3)
        box.work.append("late")
        await asyncio.sleep(0.05)
        assert box.done == []
        box.loops.look_again()
        await box.until(lambda: box.done == ["late"])
        assert box.looks == 4, "one of them, not all"

    with_box(use, [], count=3)


def test_one_loop_looks_at_the_earliest_time_asked_for() -> None:
    async def use(box: Box) -> None:
        await box.until(lambda: box.looks == 2)
        started = asyncio.get_running_loop().time()
        for seconds in (500.0, 0.1, 300.0):
            box.loops.look_again(seconds)
        await box.until(lambda: box.looks == 3)
        assert asyncio.get_running_loop().time() - started >= 0.1

    with_box(use, [], count=2)


def test_a_pause_returned_by_find_is_followed_by_another_look() -> None:
    async def use(box: Box) -> None:
        box.pause = 0.02
        await box.until(lambda: box.looks >= 3)

    with_box(use, [])


def test_will_look_returns_whether_a_loop_looks_anyway() -> None:
    async def use(box: Box) -> None:
        await box.until(lambda: box.looks == 1)
        await asyncio.sleep(0)
        assert box.loops.will_look(math.inf), "as much as was asked for"
        assert not box.loops.will_look(1.0)
        box.loops.look_again(100.0)
        assert (box.loops.will_look(99.0), box.loops.will_look(101.0)) == (False, True)
        box.loops.look_again()
        assert box.loops.will_look(0.0)

    with_box(use, [])
