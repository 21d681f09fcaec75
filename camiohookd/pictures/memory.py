"""One bound on the memory of decoded pictures in all threads together.

    decode ─▶ `MemoryBudget.reserve` the most that decoding takes ─▶ `Share.shrink` to the pixels kept ─▶ `close`

A thread that holds a share must not wait for another one, or two threads could wait for each other: it asks with
``wait=False`` and labels what it has when the answer is `NoRoom`.
"""

import threading
from collections import deque

from camiohookd.errors import PictureError
from camiohookd.units import size


class NoRoom(Exception):
    """The share is not free at present."""


class MemoryBudget:
    """At most `limit` bytes are reserved at any time. Safe to use from several threads; served in order."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.peak = 0
        self.used = 0
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def reserve(self, amount: int, *, wait: bool = True) -> "Share":
        """Take `amount` bytes, waiting until they are free.

        Raises `PictureError` if they exceed the limit, `NoRoom` if they are not free and `wait` is false.
        """
        if amount > self.limit:
            raise PictureError(
                f"the picture takes too much memory: {size(amount)} to decode, allowed are {size(self.limit)} "
                "(setting images.max_decoded_bytes)"
            )
        with self._changed:
            if not wait and (self._waiting or self.used + amount > self.limit):
                raise NoRoom
            turn = object()
            self._waiting.append(turn)
            self._changed.wait_for(lambda: self._waiting[0] is turn and self.used + amount <= self.limit)
            self._waiting.popleft()
            self.used += amount
            self.peak = max(self.peak, self.used)
            self._changed.notify_all()  # the next waiting picture may fit, too
        return Share(self, amount)

    def _give_back(self, amount: int) -> None:
        with self._changed:
            self.used -= amount
            self._changed.notify_all()


class Share:
    """Reserved bytes. Belongs to one thread at a time."""

    def __init__(self, budget: MemoryBudget, amount: int) -> None:
        self._budget = budget
        self.amount = amount

    def shrink(self, amount: int) -> None:
        """Keep at most `amount` bytes and give back the rest."""
        if amount < self.amount:
            self.amount, rest = amount, self.amount - amount
            self._budget._give_back(rest)

    def close(self) -> None:
        """Give back all bytes; a second call does nothing."""
        self.shrink(0)
