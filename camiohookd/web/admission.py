"""Who may post, and how much at once."""

import hmac
from collections.abc import Mapping

from camiohookd.web import answers
from camiohookd.web.answers import Refused


class Keys:
    """The owner's keys, by name."""

    def __init__(self, keys: Mapping[str, str]) -> None:
        self._keys = {name: key.encode() for name, key in keys.items()}

    def name_of(self, offered: bytes) -> str | None:
        """The name of the key, None if it is none of them; the time it takes does not depend on which is near."""
        found = None
        for name, key in self._keys.items():
            if hmac.compare_digest(key, offered):
                found = name
        return found


class Room:
    """How many bytes of bodies may be in memory at once."""

    def __init__(self, size: int) -> None:
        self._free = size

    def take(self, size: int) -> None:
        """Raise `Refused` if there is no room for `size` bytes."""
        if size > self._free:
            raise Refused(answers.BODIES_IN_FLIGHT)
        self._free -= size

    def give_back(self, size: int) -> None:
        self._free += size
