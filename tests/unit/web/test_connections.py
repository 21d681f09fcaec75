"""Who gives way where all places for connections are taken."""

import logging
from typing import cast

from camiohookd.web.server.connections import Connections
from camiohookd.web.server.log_throttle import Throttle
from camiohookd.web.server.peers import Peers
from camiohookd.web.server.stream import Stream


class FakeStream:
    """As much of a connection as a crowd looks at."""

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


def test_the_oldest_of_the_address_with_the_most_strangers_gives_way_and_not_the_oldest_of_all() -> None:
    full = crowd(6)
    streams = enter(full, "192.0.2.1", *["198.51.100.1"] * 3, "192.0.2.2", "203.0.113.1")
    enter(full, "203.0.113.2", "203.0.113.3")
    assert closed(streams) == [1, 2]


def test_where_no_address_has_two_the_oldest_of_all_gives_way() -> None:
    full = crowd(3)
    streams = enter(full, "192.0.2.1", "192.0.2.2", "192.0.2.3")
    enter(full, "192.0.2.4")
    assert closed(streams) == [0]


def test_of_the_loopback_which_has_no_limit_of_its_own_the_oldest_gives_way() -> None:
    full = crowd(3)
    streams = enter(full, *["127.0.0.1"] * 3)
    enter(full, "127.0.0.1")
    assert closed(streams) == [0]


def test_who_has_shown_a_key_or_is_being_answered_never_gives_way() -> None:
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


def test_known_connections_do_not_make_an_address_the_one_with_the_most() -> None:
    full = crowd(6)
    streams = enter(full, *["192.0.2.1"] * 4, *["198.51.100.1"] * 2)
    authenticate(full, *streams[:3])
    enter(full, "203.0.113.1")
    assert closed(streams) == [4]


def test_where_nobody_may_be_closed_the_new_one_is_not_let_in() -> None:
    full = crowd(2)
    authenticate(full, *enter(full, "192.0.2.1", "192.0.2.2"))
    assert not full.enter(cast("Stream", FakeStream("192.0.2.3")))


def test_a_place_is_free_again_when_its_connection_has_left() -> None:
    full = crowd(1)
    (first,) = enter(full, "192.0.2.1")
    authenticate(full, first)
    full.leave(cast("Stream", first))
    enter(full, "192.0.2.2")
    assert not first.is_closed
