"""Mask secrets in text that others wrote, such as Camio's answers: every secret becomes ``***``.

Camio repeats what it was sent in its own encoding (its JSON has ``\\u003d`` for ``=``), and proxies use others. So each
character of a secret is matched in each of its spellings, in any mixture.
"""

import html
import re
from collections.abc import Callable, Iterable

_MASK = "***"
_SLASH = r"(?:\\*/|(?i:%(?:25)*2f|\\+u002f))"
# Up to what ends the part of a path; an escaped quotation mark ends it too, any other escaped character does not.
_KEY_IN_URL = re.compile(
    rf"(?P<before>{_SLASH}tasks{_SLASH})" r"(?:\\+u(?!002[27])[0-9A-Fa-f]{4}|[^\s\"'<>\\/?#])+", re.ASCII
)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that puts ``***`` for every one of `secrets`, and for whatever follows ``/tasks/`` in a URL.

    The latter is a key as well, that of a hook registered earlier, say, which is not among `secrets`.
    """
    # The longest first: one secret may be the beginning of another.
    known = sorted(filter(None, set(secrets)), key=len, reverse=True)
    spellings = re.compile("|".join(map(_any_spelling, known)) or r"(?!)")

    def mask(text: str) -> str:
        return _KEY_IN_URL.sub(rf"\g<before>{_MASK}", spellings.sub(_MASK, text))

    return mask


def _any_spelling(secret: str) -> str:
    return "".join(f"(?:{'|'.join(_spellings(char))})" for char in secret)


def _spellings(char: str) -> Iterable[str]:
    """Patterns for `char` as it is, in a URL, in JSON and in HTML; in the first two also if that was done twice."""
    yield (r"\\*" if char in '"\\/' else "") + re.escape(char)
    yield "(?i:" + "".join(f"%(?:25)*{byte:02x}" for byte in char.encode("utf-8", "surrogatepass")) + ")"
    units = char.encode("utf-16-be", "surrogatepass").hex()
    yield "(?i:" + "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4)) + ")"
    yield re.escape(html.escape(char))
    yield f"(?i:&#0*{ord(char)};|&#x0*{ord(char):x};)"
