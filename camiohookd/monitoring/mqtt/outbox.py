"""Keep messages until they are published, within bounds, so that an absent broker neither fills memory nor delays."""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable

from camiohookd.monitoring.mqtt.messages import Message

MOST_MESSAGES = 1000
MOST_RETAINED = 1000
MOST_RETAINED_BYTES = 8 * 1024 * 1024


class Outbox:
    """Any thread may use it. Over a bound, the oldest message is dropped and counted.

    Of retained messages, the last one of each topic is remembered, for a broker that lost them.
    """

    def __init__(self, most: int = MOST_MESSAGES, most_bytes: int = MOST_RETAINED_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._changed = threading.Condition()
        self._events: deque[Message] = deque()
        self._retained: OrderedDict[str, Message] = OrderedDict()  # oldest first
        self._due: OrderedDict[str, None] = OrderedDict()  # topics of retained messages to publish
        self._bytes = 0
        self._closed = False
        self.dropped = 0

    def put(self, messages: Iterable[Message]) -> None:
        """Add messages, without waiting for the broker."""
        with self._changed:
            for message in messages:
                if message.retain:
                    self._retain(message)
                else:
                    self._events.append(message)
                    if len(self._events) > self._most:
                        self._events.popleft()
                        self.dropped += 1
            self._changed.notify_all()

    def repeat_retained(self) -> None:
        """Publish all retained messages again, on a new connection."""
        with self._changed:
            self._due = OrderedDict.fromkeys(self._retained)
            self._changed.notify_all()

    def next(self) -> Message | None:
        """Wait for a message and return it, retained ones first (they describe what follows); None once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._due or self._events or self._closed)
            if self._closed:
                return None
            if self._due:
                return self._retained[self._due.popitem(last=False)[0]]
            return self._events.popleft()

    def put_back(self, message: Message) -> None:
        """Put back a message that was not published; it comes first."""
        with self._changed:
            if message.retain:
                if message.topic in self._retained:
                    self._due[message.topic] = None
                    self._due.move_to_end(message.topic, last=False)
            elif len(self._events) < self._most:
                self._events.appendleft(message)
            else:
                self.dropped += 1

    def close(self) -> None:
        """End all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _retain(self, message: Message) -> None:
        if (earlier := self._retained.pop(message.topic, None)) is not None:
            self._bytes -= len(earlier.payload)
        self._retained[message.topic] = message
        self._due[message.topic] = None
        self._bytes += len(message.payload)
        while len(self._retained) > MOST_RETAINED or (self._bytes > self._most_bytes and len(self._retained) > 1):
            topic, oldest = self._retained.popitem(last=False)
            self._bytes -= len(oldest.payload)
            self._due.pop(topic, None)
