"""The open connections of a listener: how many there may be in all and from one address, and who gives way.

Whoever opens connections and shows no key, however many, cannot keep out who shows one: where all places are taken, of
one address or in all, one that has shown none and is not being answered is closed for the new one: of the address that
has most of those, the oldest.

Everything here runs on the event loop.
"""

import resource
from collections import OrderedDict

from camiohookd.errors import ConfigError
from camiohookd.web.server.log_throttle import Throttle
from camiohookd.web.server.peers import Peer
from camiohookd.web.server.stream import Stream

_OTHER_FILES = 512  # the other listeners, the queue's files, deliveries, libraries

_Connections = OrderedDict[Stream, None]  # in the order of their coming


class Connections:
    """At most `most` connections, and `most_of_one` from one address."""

    def __init__(self, most: int, most_of_one: int, throttle: Throttle) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._throttle = throttle
        self._open = _Connections()
        self._of_one: dict[str, _Connections] = {}
        self._strangers: dict[str, _Connections] = {}  # those of `_of_one` that have shown no key

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, stream: Stream) -> bool:
        """Whether there is a place for `stream`; where another has to give way for it, that one is closed."""
        if not self._has_place(stream.peer):
            return False
        if len(self._open) >= self._most and not self._make_place():
            message = "closed a connection from %s: %d are open already, the most there may be"
            self._throttle.warning("connections", message, stream.peer.shown, self._most)
            return False
        self._open[stream] = None
        self._count(stream)
        return True

    def move(self, stream: Stream, peer: Peer) -> bool:
        """Whether there is a place for `stream` among those of `peer`, for whom it carries the present request."""
        if peer.group != stream.peer.group:
            if not self._has_place(peer):
                return False
            self._discount(stream)
            stream.peer = peer
            self._count(stream)
        return True

    def know(self, stream: Stream) -> None:
        """`stream` has shown a right key: from now on it gives way to nobody."""
        stream.is_known = True
        _take_out(stream, self._strangers)

    def leave(self, stream: Stream) -> None:
        """`stream` is closed; one that gave way has left already."""
        if stream in self._open:
            del self._open[stream]
            self._discount(stream)

    def expects_answers(self) -> bool:
        """Whether some connection was opened for a request, or has begun one, that has had no answer yet."""
        return any(not (each.is_kept or each.is_ending) for each in self._open)

    def _has_place(self, peer: Peer) -> bool:
        others = self._of_one.get(peer.group) if peer.group is not None else None
        if others is None or len(others) < self._most_of_one or self._close_oldest(others):
            return True
        message = "closed a connection from %s: it has %d already, the most for one address"
        self._throttle.warning("address", message, peer.shown, self._most_of_one)
        return False

    def _make_place(self) -> bool:
        largest = max(self._strangers.values(), key=len, default=self._open)
        return self._close_oldest(largest if len(largest) > 1 else self._open) or self._close_oldest(self._open)

    def _close_oldest(self, among: _Connections) -> bool:
        oldest = next((each for each in among if not (each.is_known or each.is_busy)), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.close()
        message = "all places for connections are taken: the oldest without a key, from %s, gave way"
        self._throttle.warning("gave way", message, oldest.peer.shown)
        return True

    def _count(self, stream: Stream) -> None:
        group = stream.peer.group
        if group is not None:
            self._of_one.setdefault(group, _Connections())[stream] = None
            if not stream.is_known:
                self._strangers.setdefault(group, _Connections())[stream] = None

    def _discount(self, stream: Stream) -> None:
        _take_out(stream, self._of_one)
        _take_out(stream, self._strangers)


def _take_out(stream: Stream, of: dict[str, _Connections]) -> None:
    """If it is there; no address is remembered of which there is nothing."""
    group = stream.peer.group
    if group is not None and group in of:
        of[group].pop(stream, None)
        if not of[group]:
            del of[group]


def allow_files(connections: int) -> None:
    """Raise this process's limit of open files to what so many connections take; ConfigError if it may not."""
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"hook.max_connections: {connections} connections take {needed} open files, and this process may have "
            f"{hard}: lower the setting, or raise LimitNOFILE with systemctl edit camiohookd"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
