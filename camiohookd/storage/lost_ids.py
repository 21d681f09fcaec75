"""Whose documents damage may have taken."""

import sys
from collections.abc import Iterable, Sequence

Span = tuple[int, int]
"""The first and the last of some ids."""

MAX_SPANS = 2000


class LostIds:
    """The ids whose documents damage may have taken, told from the ids around it, since they grow from line to line.

    Told of every file of a state in turn, the snapshot first. Without this a damaged line would bring back whatever was
    forgotten on purpose.
    """

    def __init__(self) -> None:
        self._last = 0
        self._damaged = False
        self._named = 0
        self._lost: list[Span] = []
        self._gone: set[int] = set()

    def damage(self) -> None:
        """Something could not be read here."""
        self._damaged = True

    def seen(self, number: int) -> None:
        """The id of a document that is whole; what is older than one already seen tells nothing."""
        if number <= self._last:
            return
        if self._damaged:
            self._lost.append((self._last + 1, max(number - 1, self._named)))
        self._last, self._damaged, self._named = number, False, 0

    def changed(self, number: int) -> None:
        """A document that stood by then. The next one to be seen may be older, where it was taken in again."""
        if self._damaged:
            self._named = max(self._named, number)

    def gone(self, number: int) -> None:
        """A document that was forgotten on purpose."""
        self.changed(number)
        if self:
            self._gone.add(number)

    def only(self, live: Iterable[Span]) -> None:
        """These ids, and no others of those so far, had a document at this point."""
        self._lost = [
            (max(first, start), min(last, end))
            for first, last in self._lost
            for start, end in live
            if start <= last and first <= end
        ]

    def __contains__(self, number: int) -> bool:
        lost = [*self._lost, (self._last + 1, sys.maxsize)] if self._damaged else self._lost
        return number not in self._gone and any(first <= number <= last for first, last in lost)

    def __bool__(self) -> bool:
        return self._damaged or bool(self._lost)


def spans(numbers: Sequence[int]) -> list[Span]:
    """Ascending ids as at most `MAX_SPANS` spans, which then hold some more ids than those."""
    found: list[Span] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    while len(found) > MAX_SPANS:
        found = [(pair[0][0], pair[-1][1]) for pair in (found[place : place + 2] for place in range(0, len(found), 2))]
    return found
