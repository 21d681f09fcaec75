"""What waits for the broker is bounded, in order, and repeated for a new connection where it is retained."""

import threading

from camiohookd.monitoring.mqtt.messages import Message
from camiohookd.monitoring.mqtt.outbox import Outbox


def event(number: int) -> Message:
    return Message("event", b"%d" % number)


def retained(topic: str, payload: bytes = b"x") -> Message:
    return Message(topic, payload, retain=True)


def test_gives_events_in_order_and_drops_the_oldest_over_the_bound() -> None:
    outbox = Outbox(most=3)
    outbox.put(event(number) for number in range(5))
    assert [outbox.next() for _ in range(3)] == [event(2), event(3), event(4)]
    assert outbox.dropped == 2


def test_of_a_retained_topic_only_the_last_message_is_published_and_before_events() -> None:
    outbox = Outbox()
    outbox.put([event(1), retained("state", b"old"), retained("state", b"new")])
    assert [outbox.next(), outbox.next()] == [retained("state", b"new"), event(1)]


def test_a_new_connection_gets_all_retained_messages_again() -> None:
    outbox = Outbox()
    outbox.put([retained("a"), retained("b")])
    assert [outbox.next(), outbox.next()] == [retained("a"), retained("b")]
    outbox.repeat_retained()
    assert [outbox.next(), outbox.next()] == [retained("a"), retained("b")]


def test_forgets_the_oldest_retained_messages_over_the_bound_of_bytes() -> None:
    outbox = Outbox(most_bytes=10)
    outbox.put([retained("a", b"x" * 6), retained("b", b"x" * 6)])
    outbox.put([event(1)])
    assert [outbox.next(), outbox.next()] == [retained("b", b"x" * 6), event(1)]


def test_what_was_not_taken_comes_first_again() -> None:
    outbox = Outbox(most=2)
    outbox.put([event(1), event(2)])
    first = outbox.next()
    assert first is not None
    outbox.put_back(first)
    assert [outbox.next(), outbox.next()] == [event(1), event(2)]


def test_the_end_wakes_every_waiting_caller() -> None:
    outbox = Outbox()
    found: list[Message | None] = []
    waiting = threading.Thread(target=lambda: found.append(outbox.next()))
    waiting.start()
    outbox.close()
    waiting.join(30)
    assert found == [None]
