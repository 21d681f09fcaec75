"""What the pages that are open are told, and its bounds."""

import asyncio
from typing import Any

import pytest

from camiohookd.web.page import feed
from camiohookd.web.page.feed import Feed, Watcher
from camiohookd.web.server.error_responses import Refused


async def told(watcher: Watcher) -> list[str]:
    """Return the changed events that are told next."""
    while not watcher.changed:
        await watcher.wait()
    changed, watcher.changed = list(watcher.changed), {}
    return changed


def test_a_watcher_gets_the_numbers_at_once_and_then_those_that_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.001)
    numbers: dict[str, Any] = {"queue": 1}

    async def watch() -> list[Any]:
        pages = Feed(lambda: dict(numbers))
        watcher = pages.enter()
        seen = []
        for value in (1, 2):
            numbers["queue"] = value
            while not (watcher.numbers and watcher.numbers["queue"] == value):
                await watcher.wait()
            seen.append(watcher.numbers)
            watcher.numbers = {}
        pages.leave(watcher)
        return seen

    assert asyncio.run(watch()) == [{"queue": 1}, {"queue": 2}]


def test_of_many_changed_events_only_the_last_ones_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.001)

    async def watch() -> list[str]:
        pages = Feed(dict)
        watcher = pages.enter()
        for number in range(100):
            pages.event_changed(str(number))
        pages.event_changed("95")
        return await told(watcher)

    assert asyncio.run(watch()) == ["94", "96", "97", "98", "99", "95"]


def test_fewer_events_are_sent_while_others_wait_to_be_labeled() -> None:
    async def watch() -> list[str]:
        pages = Feed(dict, lambda: True)
        watcher = pages.enter()
        for number in range(10):
            pages.event_changed(str(number))
        return await told(watcher)

    assert asyncio.run(watch()) == ["8", "9"]


def test_a_page_that_reads_slowly_gets_what_is_newest() -> None:
    async def watch() -> Watcher:
        watcher = Watcher()
        for number in range(100):
            watcher.tell_changed([str(number)])
            watcher.tell_numbers({"queue": number})
        return watcher

    watcher = asyncio.run(watch())
    assert list(watcher.changed) == [str(number) for number in range(94, 100)]
    assert watcher.numbers == {"queue": 99}


def test_watchers_are_bounded_and_one_that_leaves_makes_room() -> None:
    async def watch() -> None:
        pages = Feed(dict)
        watchers = [pages.enter() for _ in range(feed.MOST_WATCHERS)]
        with pytest.raises(Refused):
            pages.enter()
        pages.leave(watchers[0])
        pages.enter()

    asyncio.run(watch())


def test_nothing_is_read_while_nobody_watches() -> None:
    def numbers() -> dict[str, Any]:
        raise AssertionError("read")

    async def change() -> None:
        pages = Feed(numbers)
        pages.event_changed("1")
        await asyncio.sleep(0)

    asyncio.run(change())


def test_what_several_pages_show_of_an_event_is_made_once_until_events_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "LOOK_SECONDS", 0.001)
    made: list[int] = []

    async def make() -> int:
        made.append(len(made))
        await asyncio.sleep(0)
        return made[-1]

    async def watch() -> list[int]:
        pages = Feed(dict)
        watcher = pages.enter()
        first = await asyncio.gather(*(pages.once("card 1", make) for _ in range(3)))
        pages.event_changed("1")
        await told(watcher)
        return [*first, await pages.once("card 1", make)]

    assert asyncio.run(watch()) == [0, 0, 0, 1]
