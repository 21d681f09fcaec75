"""Infer which documents may have been lost by damage."""

import sys
from bisect import bisect_right
from collections.abc import Sequence

Span = tuple[int, int]
"""The first and the last of some ids."""

MAX_SPANS = 2000


class LostIds:
    """The ids whose documents may have been lost by damage, inferred from the ids around it, which grow line by line.

    It gets the events of every file of a state in turn, the snapshot first. Without it, `rescue` could restore tasks
    that were removed on purpose.
    """

    def __init__(self) -> None:
        self._last = 0
        self._damaged = False
        self._named = 0
        self._lost: list[Span] = []  # ascending, and not adjacent
        self._gone: set[int] = set()

    def damage(self) -> None:
        """Note damage at this point."""
        self._damaged = True

    def seen(self, number: int) -> None:
        """Note the id of a whole document. An id lower than one already seen gives no bound."""
        self._pass(number, number - 1)

    def given_out(self, number: int) -> None:
        """Note an id that was assigned by then, even if its document is damaged."""
        self._pass(number, number)

    def _pass(self, number: int, last_lost: int) -> None:
        if number <= self._last:
            return
        if self._damaged:
            self._lose(self._last + 1, max(last_lost, self._named))
        self._last, self._damaged, self._named = number, False, 0

    def _lose(self, first: int, last: int) -> None:
        if self._lost and first <= self._lost[-1][1] + 1:
            first, last = self._lost[-1][0], max(last, self._lost[-1][1])
            self._lost.pop()
        if first <= last:
            self._lost.append((first, last))

    def changed(self, number: int) -> None:
        """Note a document that existed by then. The next one seen may have a lower id, if it was added again."""
        if self._damaged:
            self._named = max(self._named, number)

    def gone(self, number: int) -> None:
        """Note a document that was removed on purpose."""
        self.changed(number)
        if self:
            self._gone.add(number)

    def only(self, live: Sequence[Span]) -> None:
        """Note that, of all ids so far, exactly those in `live` (ascending) had a document at this point."""
        kept: list[Span] = []
        place = 0
        for first, last in self._lost:
            while place < len(live) and live[place][1] < first:
                place += 1
            behind = place
            while behind < len(live) and live[behind][0] <= last:
                kept.append((max(first, live[behind][0]), min(last, live[behind][1])))
                behind += 1
        self._lost = kept

    def __contains__(self, number: int) -> bool:
        if number in self._gone:
            return False
        if self._damaged and number > self._last:
            return True
        place = bisect_right(self._lost, (number, sys.maxsize)) - 1
        return place >= 0 and number <= self._lost[place][1]

    def __bool__(self) -> bool:
        return self._damaged or bool(self._lost)


def spans(numbers: Sequence[int]) -> list[Span]:
    """Return ascending ids as at most `MAX_SPANS` spans. If there were more, the spans cover additional ids."""
    found: list[Span] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    while len(found) > MAX_SPANS:
        found = [(pair[0][0], pair[-1][1]) for pair in (found[place : place + 2] for place in range(0, len(found), 2))]
    return found
