"""How much memory the bodies of events take together: each takes its share as it arrives, and waits if there is none.

    `BodyMemory.open` ─▶ `BodyShare.grow_to` ... as the body arrives ─▶ `settle` at what it has become ─▶ `close`

The oldest body that is still arriving always gets what it needs: so much is never given to others. A crowd of large
bodies is therefore taken one after the other, and none is refused unless it waits too long.

Everything here runs on the event loop.
"""

import asyncio
from collections.abc import Awaitable

from camiohookd.web.server import answers
from camiohookd.web.server.answers import Refused


class BodyMemory:
    """`size` bytes for all bodies together, of which one needs at most `largest`; a share waits `patience` seconds."""

    def __init__(self, size: int, largest: int, patience: float) -> None:
        self._free = size
        self._largest = largest
        self._patience = patience
        self._arriving: dict[BodyShare, None] = {}  # the oldest first
        self._waiting = 0

    def open(self) -> "BodyShare":
        """Return the share of a body whose first byte is expected now."""
        share = BodyShare(self)
        self._arriving[share] = None
        return share

    def grow(self, share: "BodyShare", size: int) -> Awaitable[None] | None:
        """Give `share` in all `size` bytes; None if it has them, else what to await. That raises `Refused`."""
        if self._fits(share, size):
            self._give(share, size)
            return None
        return self._wait(share, size)

    def settle(self, share: "BodyShare", size: int) -> None:
        """The body of `share` has arrived, and takes `size` bytes from now on."""
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
            raise Refused(answers.BODIES_IN_FLIGHT) from None
        finally:
            self._waiting -= 1
            share.turn = None

    def _serve_waiting(self) -> None:
        """Give what is free to those that wait, the oldest first."""
        if not self._waiting:
            return
        for share in self._arriving:
            if share.turn is not None and not share.turn.done() and self._fits(share, share.wanted):
                self._give(share, share.wanted)
                share.turn.set_result(None)


class BodyShare:
    """What one body has of the memory: `held` bytes; while it waits, `wanted` and the future of its `turn`."""

    def __init__(self, memory: BodyMemory) -> None:
        self.held = 0
        self.wanted = 0
        self.turn: asyncio.Future[None] | None = None
        self._memory = memory

    def grow_to(self, size: int) -> Awaitable[None] | None:
        """See that `size` bytes are held, or more: None if they are, else what to await. That raises `Refused`."""
        return None if size <= self.held else self._memory.grow(self, size)

    def settle(self, size: int) -> None:
        """The body has arrived, and takes `size` bytes from now on."""
        self._memory.settle(self, size)

    def close(self) -> None:
        """Give everything back; a share that waits is not refused, but goes on with nothing."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(None)
        self._memory.settle(self, 0)
