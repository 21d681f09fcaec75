"""Notify subscribers of what happens to events."""

import asyncio
import logging

import pytest

from camiohookd.monitoring.activity import Activity, EventDone, Occurrence

DONE = EventDone("1", "front", 1.0, 2.0)


def test_notifies_every_subscriber_until_it_unsubscribes() -> None:
    activity = Activity()
    first: list[Occurrence] = []
    second: list[Occurrence] = []
    end_first = activity.subscribe(first.append)
    activity.subscribe(second.append)
    activity.publish(DONE)
    end_first()
    end_first()
    activity.publish(DONE)
    assert (first, second) == ([DONE], [DONE, DONE])


def test_logs_a_failing_subscriber_once_and_notifies_the_others(caplog: pytest.LogCaptureFixture) -> None:
    def fail(occurrence: Occurrence) -> None:
        raise RuntimeError("a fault in a page")

    activity = Activity()
    told: list[Occurrence] = []
    activity.subscribe(fail)
    activity.subscribe(told.append)
    with caplog.at_level(logging.ERROR, "camiohookd.activity"):
        activity.publish(DONE)
        activity.publish(DONE)
    assert told == [DONE, DONE]
    assert [record.message for record in caplog.records] == [
        "unexpected error in a subscriber of events; later ones are not logged"
    ]


def test_a_subscriber_may_unsubscribe_during_a_notification() -> None:
    activity = Activity()
    told: list[Occurrence] = []

    def once(occurrence: Occurrence) -> None:
        told.append(occurrence)
        end()

    end = activity.subscribe(once)
    activity.publish(DONE)
    activity.publish(DONE)
    assert told == [DONE]


def test_another_thread_may_publish_as_soon_as_the_event_loop_runs() -> None:
    async def serve() -> None:
        activity.publish_soon(DONE)
        activity.attach()
        activity.subscribe(told.put_nowait)
        await asyncio.to_thread(activity.publish_soon, DONE)
        assert await told.get() == DONE
        assert told.empty()

    activity = Activity()
    told: asyncio.Queue[Occurrence] = asyncio.Queue()
    asyncio.run(serve())
    activity.publish_soon(DONE)  # after the end of the loop, nobody is notified


def test_the_least_probability_is_the_lowest_that_a_subscriber_wants() -> None:
    activity = Activity()
    assert activity.least_probability == 1.0
    activity.subscribe(lambda _: None, 0.05)
    activity.subscribe(lambda _: None, 0.5)
    assert activity.least_probability == 0.05
