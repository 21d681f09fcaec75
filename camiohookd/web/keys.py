"""Who may post: the owner's keys, and how long a client that guesses them has to wait."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

LONGEST_WAIT = 3600
_REMEMBERED = 10_000


class Keys:
    """The owner's keys, by name."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self.replace(keys)

    def replace(self, keys: Mapping[str, str]) -> None:
        """From the next request on these are the keys, and no others."""
        self._keys = {name: key.encode() for name, key in keys.items()}

    def name_of(self, offered: bytes) -> str | None:
        """The name of the key, None if it is none of them; the time it takes does not depend on which is near."""
        found = None
        for name, key in self._keys.items():
            if hmac.compare_digest(key, offered):
                found = name
        return found


class _Guesser(NamedTuple):
    """How many wrong keys, and until when (as the clock has it) the next is too early."""

    guesses: int
    until: float

    def is_over(self, now: float) -> bool:
        """Whether so much time has passed that nothing of it counts."""
        return now >= self.until + LONGEST_WAIT


class WrongKeyLimiter:
    """Who offered wrong keys lately: after `allowed` of them each has to wait, twice as long each time.

    An hour after its wait is over somebody is forgotten, or earlier where there are more than are remembered.
    """

    def __init__(
        self, allowed: int, remembered: int = _REMEMBERED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = allowed
        self._remembered = remembered
        self._clock = clock
        self._guessers: OrderedDict[str, _Guesser] = OrderedDict()  # who guessed last stands last

    def count(self, who: str | None) -> int:
        """One more wrong key of `who` (None: of whom nobody knows); returns the seconds to wait, 0 for none."""
        if who is None:
            return 0
        now = self._clock()
        before = self._guessers.pop(who, None)
        self._forget(now)
        guesses = 1 if before is None or before.is_over(now) else before.guesses + 1
        over = guesses - self._allowed
        wait = min(1 << min(over - 1, 32), LONGEST_WAIT) if over > 0 else 0
        self._guessers[who] = _Guesser(guesses, now + wait)
        return wait

    def __len__(self) -> int:
        return len(self._guessers)

    def _forget(self, now: float) -> None:
        """Whoever is over, as far as they stand in front; and the first, where there is no room for another."""
        while self._guessers:
            first = next(iter(self._guessers))
            if len(self._guessers) < self._remembered and not self._guessers[first].is_over(now):
                break
            del self._guessers[first]
