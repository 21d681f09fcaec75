"""Sets of ids that are asked for in order, in blocks, so that adding and discarding any hardly cost more when there are
many."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any

BLOCK = 512
"""So many ids stand in a block before it is halved, half of it when they come in order."""


class OrderedIds:
    """Ids in the order of their `rank`, None: of the ids themselves; that of an id that is in must not change."""

    def __init__(self, rank: Callable[[int], Any] | None = None) -> None:
        self._rank = rank
        self._blocks: list[list[int]] = []  # none is empty
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, number: int) -> bool:
        return next(self._from(self._rank_of(number)), None) == number

    def add(self, number: int) -> None:
        rank = self._rank_of(number)
        if not self._blocks or rank > self._rank_of(self._blocks[-1][-1]):
            self._append(number)
            return
        place = self._block_of(rank)
        block = self._blocks[place]
        index = bisect_left(block, rank, key=self._rank)
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
        rank = self._rank_of(number)
        place = self._block_of(rank)
        block = self._blocks[place]
        del block[bisect_left(block, rank, key=self._rank)]
        self._count -= 1
        if not block:
            del self._blocks[place]

    def first(self) -> int | None:
        return self._blocks[0][0] if self._blocks else None

    def last(self) -> int | None:
        return self._blocks[-1][-1] if self._blocks else None

    def after(self, number: int) -> Iterator[int]:
        """Those greater than `number`, where ids are their own ranks; the set must not change meanwhile."""
        return self._from(number + 1)

    def _rank_of(self, number: int) -> Any:
        return number if self._rank is None else self._rank(number)

    def _from(self, rank: Any) -> Iterator[int]:
        for place in range(self._block_of(rank), len(self._blocks)):
            block = self._blocks[place]
            for index in range(bisect_left(block, rank, key=self._rank), len(block)):
                yield block[index]

    def _block_of(self, rank: Any) -> int:
        """The place of the first block that does not end before `rank`."""
        if self._rank is None:
            return bisect_left(self._blocks, rank, key=itemgetter(-1))
        if self._blocks and rank <= self._rank(self._blocks[0][-1]):  # as mostly: what came first leaves first
            return 0
        return bisect_left(self._blocks, rank, key=lambda block: self._rank_of(block[-1]))


class TimedIds:
    """Ids with a time each, the earliest first; of those with the same time, the least id."""

    def __init__(self) -> None:
        self._times: dict[int, float] = {}
        self._order = OrderedIds(lambda number: (self._times[number], number))

    def __len__(self) -> int:
        return len(self._times)

    def add(self, number: int, time: float) -> None:
        self.discard(number)
        self._times[number] = time
        self._order.add(number)

    def discard(self, number: int) -> None:
        if number in self._times:
            self._order.discard(number)
            del self._times[number]

    def latest(self) -> float:
        """The latest time, 0 if there is none."""
        last = self._order.last()
        return 0.0 if last is None else self._times[last]

    def first(self) -> tuple[float, int] | None:
        """(time, id), the earliest."""
        first = self._order.first()
        return None if first is None else (self._times[first], first)
