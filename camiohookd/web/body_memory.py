"""Limits the memory of all events' bodies together: each reserves its share as it arrives, and waits if none is free.

    `BodyMemory.open` ─▶ `BodyShare.grow_to` ... as the body arrives ─▶ `settle` at the size of the event ─▶ `close`

What the oldest arriving body may still need is never given to others, so it always completes. Many large bodies at once
are therefore received one after the other, and none is refused unless it waits too long.

Everything here runs on the event loop.
"""

import asyncio
from collections.abc import Awaitable

from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused


class BodyMemory:
    """`size` bytes for all bodies together, at most `largest` for one; a share waits at most `patience` seconds."""

    def __init__(self, size: int, largest: int, patience: float) -> None:
        self._free = size
        self._largest = largest
        self._patience = patience
        self._arriving: dict[BodyShare, None] = {}  # the oldest first
        self._waiting = 0

    def open(self) -> "BodyShare":
        """Return the share of a body that is about to arrive."""
        share = BodyShare(self)
        self._arriving[share] = None
        return share

    def grow(self, share: "BodyShare", size: int) -> Awaitable[None] | None:
        """Let `share` hold `size` bytes. Returns None if it does, else what to await, which may raise `Refused`."""
        if self._fits(share, size):
            self._give(share, size)
            return None
        return self._wait(share, size)

    def settle(self, share: "BodyShare", size: int) -> None:
        """Let `share`, whose body has arrived, hold `size` bytes from now on."""
        self._arriving.pop(share, None)
        self._give(share, size)
        self._serve_waiting()

    def _fits(self, share: "BodyShare", size: int) -> bool:
        oldest = next(iter(self._arriving))
        reserved = 0 if share is oldest else max(0, self._largest - oldest.held)
        return size - share.held <= self._free - reserved

    def _give(self, share: "BodyShare", size: int) -> None:
        self._free -= size - share.held
        share.held = size

    async def _wait(self, share: "BodyShare", size: int) -> None:
        share.wanted, share.turn = size, asyncio.get_running_loop().create_future()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await share.turn
        except TimeoutError:
            raise Refused(error_responses.BODIES_IN_FLIGHT) from None
        finally:
            self._waiting -= 1
            share.turn = None

    def _serve_waiting(self) -> None:
        """Give free memory to the shares that wait, the oldest first."""
        if not self._waiting:
            return
        for share in self._arriving:
            if share.turn is not None and not share.turn.done() and self._fits(share, share.wanted):
                self._give(share, share.wanted)
                share.turn.set_result(None)


class BodyShare:
    """One body's share: `held` bytes. While it waits, it wants `wanted` bytes, and `turn` is done when it gets them."""

    def __init__(self, memory: BodyMemory) -> None:
        self.held = 0
        self.wanted = 0
        self.turn: asyncio.Future[None] | None = None
        self._memory = memory

    def grow_to(self, size: int) -> Awaitable[None] | None:
        """Hold at least `size` bytes. Returns None if it does, else what to await, which may raise `Refused`."""
        return None if size <= self.held else self._memory.grow(self, size)

    def settle(self, size: int) -> None:
        """Hold `size` bytes from now on: the body has arrived."""
        self._memory.settle(self, size)

    def close(self) -> None:
        """Free everything. A share that waits stops waiting, without an error and without memory."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)
        self._memory.settle(self, 0)
