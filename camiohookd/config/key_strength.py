"""Judge whether an API key could be guessed."""

import math
import string

WEAK = 'it is short or has few different characters; "camiohookd key new" makes a strong one'

_STRONG_BITS = 128
_FEWEST_CHARACTERS = 9  # of 32 random hexadecimal digits, fewer than 9 differ in 3 cases of a million
_ALPHABETS = (string.digits, "0123456789abcdef", "0123456789ABCDEF")
_KINDS = (string.digits, string.ascii_lowercase, string.ascii_uppercase, "-._~")


def is_weak(key: str) -> bool:
    """Return whether a key has fewer than 128 bits if its characters are random, or clearly is not random."""
    characters = set(key)
    return len(characters) < _FEWEST_CHARACTERS or len(key) * math.log2(_alphabet(characters)) < _STRONG_BITS


def _alphabet(characters: set[str]) -> int:
    """Return the size of the alphabet that the characters were probably drawn from."""
    for alphabet in _ALPHABETS:
        if characters <= set(alphabet):
            return len(alphabet)
    return sum(len(kind) for kind in _KINDS if characters & set(kind)) or 1
