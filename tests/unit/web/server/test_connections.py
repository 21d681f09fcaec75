"""Choose the connection to close when the connection limit is reached."""

import logging
from typing import cast

from camiohookd.web.server.connections import Connections
from camiohookd.web.server.log_throttle import Throttle
from camiohookd.web.server.peers import Peers
from camiohookd.web.server.stream import Stream


class FakeStream:
    """The part of a connection that `Connections` uses."""

    def __init__(self, address: str) -> None:
        self.peer = Peers().connected(address)
        self.is_authenticated = self.is_busy = self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


def crowd(most: int, most_of_one: int = 100) -> Connections:
    return Connections(most, most_of_one, Throttle(logging.getLogger("test")))


def enter(into: Connections, *addresses: str) -> list[FakeStream]:
    streams = [FakeStream(each) for each in addresses]
    for each in streams:
        assert into.enter(cast("Stream", each))
    return streams


def authenticate(by: Connections, *streams: FakeStream) -> None:
    for each in streams:
        by.authenticate(cast("Stream", each))


def closed(streams: list[FakeStream]) -> list[int]:
    return [number for number, each in enumerate(streams) if each.is_closed]


def test_closes_the_oldest_connection_of_the_address_with_the_most_unauthenticated_ones() -> None:
    full = crowd(6)
    streams = enter(full, "192.0.2.1", *["198.51.100.1"] * 3, "192.0.2.2", "203.0.113.1")
    enter(full, "203.0.113.2", "203.0.113.3")
    assert closed(streams) == [1, 2]


def test_closes_the_oldest_connection_if_no_address_has_two() -> None:
    full = crowd(3)
    streams = enter(full, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    enter(full, "192.0.2.4")
    assert closed(streams) == [0]


def test_closes_the_oldest_loopback_connection() -> None:
    full = crowd(3)
    streams = enter(full, *["127.0.0.1"] * 3)
    enter(full, "127.0.0.1")
    assert closed(streams) == [0]


def test_never_closes_a_connection_that_is_authenticated_or_being_served() -> None:
    full = crowd(3)
    streams = enter(full, *["192.0.2.1"] * 2, "192.0.2.2")
    authenticate(full, streams[0])
    streams[1].is_busy = True
    (new,) = enter(full, "192.0.2.3")
    assert closed(streams) == [2]
    enter(full, "192.0.2.4")
    assert new.is_closed
    streams[1].is_busy = False
    enter(full, "192.0.2.5")
    assert closed(streams) == [1, 2]


def test_authenticated_connections_do_not_count_when_choosing_the_address() -> None:
    full = crowd(6)
    streams = enter(full, *["192.0.2.1"] * 4, *["198.51.100.1"] * 2)
    authenticate(full, *streams[:3])
    enter(full, "203.0.113.1")
    assert closed(streams) == [4]


def test_refuses_a_new_connection_if_none_may_be_closed() -> None:
    full = crowd(2)
    authenticate(full, *enter(full, "192.0.2.1", "192.0.2.2"))
    assert not full.enter(cast("Stream", FakeStream("192.0.2.3")))


def test_accepts_another_connection_after_one_closed() -> None:
    full = crowd(1)
    (first,) = enter(full, "192.0.2.1")
    authenticate(full, first)
    full.leave(cast("Stream", first))
    enter(full, "192.0.2.2")
    assert not first.is_closed
