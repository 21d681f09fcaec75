"""The owner's keys, and how long a client that sends wrong ones has to wait."""

import hmac
import math
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
        """Accept these keys, and no others, from the next request on."""
        self._keys = {name: key.encode() for name, key in keys.items()}

    def name_of(self, offered: bytes) -> str | None:
        """Return the name of the key `offered`, None if it is wrong. Compares it with every key, in constant time."""
        found = None
        for name, key in self._keys.items():
            if hmac.compare_digest(key, offered):
                found = name
        return found


class _Offender(NamedTuple):
    """How many wrong keys a client sent, and when its wait ends (clock time in seconds)."""

    wrong_keys: int
    until: float

    def is_over(self, now: float) -> bool:
        """Return whether the wait ended so long ago that its wrong keys no longer count."""
        return now >= self.until + LONGEST_WAIT


class WrongKeyLimiter:
    """Counts wrong keys by client. After `allowed` of them the client has to wait, twice as long each time.

    A client is forgotten an hour after its wait ended, or earlier if there are more than `remembered`.
    """

    def __init__(
        self, allowed: int, remembered: int = _REMEMBERED, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed = allowed
        self._remembered = remembered
        self._clock = clock
        self._offenders: OrderedDict[str, _Offender] = OrderedDict()  # in the order of their last wrong key

    def count(self, client: str | None) -> int:
        """Count a wrong key of `client` (None: unknown, never counted). Returns the seconds to wait, 0 for no wait."""
        if client is None:
            return 0
        now = self._clock()
        before = self._offenders.pop(client, None)
        self._forget(now)
        wrong_keys = 1 if before is None or before.is_over(now) else before.wrong_keys + 1
        over = wrong_keys - self._allowed
        wait = min(1 << min(over - 1, 32), LONGEST_WAIT) if over > 0 else 0
        self._offenders[client] = _Offender(wrong_keys, now + wait)
        return wait

    def wait_of(self, client: str) -> int:
        """Return how many seconds `client` still has to wait, 0 if it need not."""
        before = self._offenders.get(client)
        return 0 if before is None else max(math.ceil(before.until - self._clock()), 0)

    def __len__(self) -> int:
        return len(self._offenders)

    def _forget(self, now: float) -> None:
        """Drop expired entries from the front; evict the oldest if full."""
        while self._offenders:
            first = next(iter(self._offenders))
            if len(self._offenders) < self._remembered and not self._offenders[first].is_over(now):
                break
            del self._offenders[first]
