"""The open connections of a listener: how many in all, how many from one address, and which to close when full.

Connections without a key cannot keep out a client that has one. When a limit is reached, in all or of one address, a
connection that has shown no key and is not being served is closed for the new one: the oldest of the address that has
the most of them.

Everything here runs on the event loop.
"""

import resource
from collections import OrderedDict

from camiohookd.errors import ConfigError
from camiohookd.web.server.log_throttle import Throttle
from camiohookd.web.server.peers import Peer
from camiohookd.web.server.stream import Stream

_OTHER_FILES = 512  # the other listeners, the queue's files, deliveries, libraries

_Connections = OrderedDict[Stream, None]  # the oldest first


class Connections:
    """At most `most` connections, of which at most `most_of_one` are from one address."""

    def __init__(self, most: int, most_of_one: int, throttle: Throttle) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._throttle = throttle
        self._open = _Connections()
        self._of_one: dict[str, _Connections] = {}
        self._unauthenticated: dict[str, _Connections] = {}  # those of `_of_one` without a key

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, stream: Stream) -> bool:
        """Add `stream`, closing another one if needed; False if there is no place for it."""
        if not self._has_place(stream.peer):
            return False
        if len(self._open) >= self._most and not self._make_place():
            message = "connection limit reached: closed a new connection from %s (the limit is %d)"
            self._throttle.warning("too_many_connections", message, stream.peer.shown, self._most)
            return False
        self._open[stream] = None
        self._count(stream)
        return True

    def move(self, stream: Stream, peer: Peer) -> bool:
        """Count `stream` as a connection of `peer`, who sends the present request; False if it has too many."""
        if peer.group != stream.peer.group:
            if not self._has_place(peer):
                return False
            self._discount(stream)
            stream.peer = peer
            self._count(stream)
        return True

    def authenticate(self, stream: Stream) -> None:
        """Never close `stream` for another one: it has shown a right key."""
        stream.is_authenticated = True
        _take_out(stream, self._unauthenticated)

    def leave(self, stream: Stream) -> None:
        """Remove `stream`, which is closed. It may have been removed before."""
        if stream in self._open:
            del self._open[stream]
            self._discount(stream)

    def has_pending_requests(self) -> bool:
        """Return whether a connection waits for the response to its first request, or to one that it has begun."""
        return any(not (each.is_kept or each.is_ending) for each in self._open)

    def _has_place(self, peer: Peer) -> bool:
        others = self._of_one.get(peer.group) if peer.group is not None else None
        if others is None or len(others) < self._most_of_one or self._close_oldest(others):
            return True
        message = "connection limit of one address reached: closed a new connection from %s (the limit is %d)"
        self._throttle.warning("too_many_of_one_address", message, peer.shown, self._most_of_one)
        return False

    def _make_place(self) -> bool:
        largest = max(self._unauthenticated.values(), key=len, default=self._open)
        return self._close_oldest(largest if len(largest) > 1 else self._open) or self._close_oldest(self._open)

    def _close_oldest(self, among: _Connections) -> bool:
        oldest = next((each for each in among if not (each.is_authenticated or each.is_busy)), None)
        if oldest is None:
            return False
        self.leave(oldest)
        oldest.close()
        message = "connection limit reached: closed the oldest unauthenticated connection from %s"
        self._throttle.warning("closed_oldest", message, oldest.peer.shown)
        return True

    def _count(self, stream: Stream) -> None:
        group = stream.peer.group
        if group is not None:
            self._of_one.setdefault(group, _Connections())[stream] = None
            if not stream.is_authenticated:
                self._unauthenticated.setdefault(group, _Connections())[stream] = None

    def _discount(self, stream: Stream) -> None:
        _take_out(stream, self._of_one)
        _take_out(stream, self._unauthenticated)


def _take_out(stream: Stream, of: dict[str, _Connections]) -> None:
    """Remove `stream` from its address in `of`, if it is there, and the address with its last connection."""
    group = stream.peer.group
    if group is not None and group in of:
        of[group].pop(stream, None)
        if not of[group]:
            del of[group]


def allow_files(connections: int) -> None:
    """Raise this process's limit of open files to what `connections` need. Raises ConfigError if it may not."""
    needed = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise ConfigError(
            f"hook.max_connections: {connections} connections need {needed} open files, but this process may open only "
            f"{hard}: lower the setting, or raise LimitNOFILE with systemctl edit camiohookd"
        )
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
