"""Sets of ids that are asked for in order."""

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterator


class OrderedIds:
    """Ids in ascending order; adding the largest, discarding any, first and last cost the same however many there are.

    Discarded ids stay in the list as dead entries until half of it is dead.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._live: set[int] = set()
        self._start = 0  # everything before it is dead

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, number: int) -> bool:
        return number in self._live

    def add(self, number: int) -> None:
        self._live.add(number)
        if not self._ids or number > self._ids[-1]:
            self._ids.append(number)
            return
        place = bisect_left(self._ids, number)
        if self._ids[place] != number:
            self._ids.insert(place, number)
        self._start = min(self._start, place)

    def discard(self, number: int) -> None:
        self._live.discard(number)
        if len(self._ids) > 2 * len(self._live) + 64:
            self._ids = [each for each in self._ids if each in self._live]
            self._start = 0

    def first(self) -> int | None:
        while self._start < len(self._ids) and self._ids[self._start] not in self._live:
            self._start += 1
        return self._ids[self._start] if self._start < len(self._ids) else None

    def last(self) -> int | None:
        while self._ids and self._ids[-1] not in self._live:
            self._ids.pop()
        self._start = min(self._start, len(self._ids))
        return self._ids[-1] if self._ids else None

    def after(self, number: int) -> Iterator[int]:
        """Those greater than `number`, ascending; the set must not change meanwhile."""
        self.first()
        for place in range(max(self._start, bisect_right(self._ids, number)), len(self._ids)):
            if self._ids[place] in self._live:
                yield self._ids[place]


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

    def first(self) -> tuple[float, int] | None:
        """(time, id), the earliest."""
        while self._heap and self._times.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0] if self._heap else None

    def ids(self) -> list[int]:
        return list(self._times)
