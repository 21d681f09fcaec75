"""Sets of ids that are asked for in order."""

import heapq
from bisect import bisect_left
from collections.abc import Iterator
from operator import itemgetter

BLOCK = 512
"""So many ids stand in a block of `OrderedIds` before it is halved, half of it when they come in order."""


class OrderedIds:
    """Ids in ascending order, in blocks, so that adding and discarding any hardly cost more when there are many."""

    def __init__(self) -> None:
        self._blocks: list[list[int]] = []  # none is empty
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return next(self._from(number), None) == number

    def add(self, number: int) -> None:
        if not self._blocks or number > self._blocks[-1][-1]:
            self._append(number)
            return
        place = self._block_of(number)
        block = self._blocks[place]
        index = bisect_left(block, number)
        if block[index] == number:
            return
        block.insert(index, number)
        self._count += 1
        if len(block) > BLOCK:
            self._blocks[place : place + 1] = [block[: BLOCK // 2], block[BLOCK // 2 :]]

    def _append(self, number: int) -> None:
        if not self._blocks or len(self._blocks[-1]) >= BLOCK // 2:
            self._blocks.append([])
        self._blocks[-1].append(number)
        self._count += 1

    def discard(self, number: int) -> None:
        if number not in self:
            return
        place = self._block_of(number)
        block = self._blocks[place]
        del block[bisect_left(block, number)]
        self._count -= 1
        if not block:
            del self._blocks[place]

    def first(self) -> int | None:
        return self._blocks[0][0] if self._blocks else None

    def last(self) -> int | None:
        return self._blocks[-1][-1] if self._blocks else None

    def after(self, number: int) -> Iterator[int]:
        """Those greater than `number`, ascending; the set must not change meanwhile."""
        return self._from(number + 1)

    def _from(self, number: int) -> Iterator[int]:
        for place in range(self._block_of(number), len(self._blocks)):
            block = self._blocks[place]
            for index in range(bisect_left(block, number), len(block)):
                yield block[index]

    def _block_of(self, number: int) -> int:
        """The place of the first block that does not end before `number`."""
        return bisect_left(self._blocks, number, key=itemgetter(-1))


class TimedIds:
    """Ids with a time each; finding the earliest, adding and discarding any hardly cost more when there are many.

    Discarded ids stay in the heap as dead entries until half of it is dead.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int]] = []
        self._times: dict[int, float] = {}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, number: int, time: float) -> None:
        self._times[number] = time
        heapq.heappush(self._heap, (time, number))

    def discard(self, number: int) -> None:
        self._times.pop(number, None)
        if len(self._heap) > 2 * len(self._times) + 64:
            self._heap = [(time, number) for number, time in self._times.items()]
            heapq.heapify(self._heap)

    def latest(self) -> float:
        """The latest time, 0 if there is none; looks at all of them."""
        return max(self._times.values(), default=0.0)

    def first(self) -> tuple[float, int] | None:
        """(time, id), the earliest."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None
