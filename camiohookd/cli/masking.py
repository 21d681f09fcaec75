"""Mask secrets in text that others wrote, such as Camio's answers: replace every secret by ``***``.

Camio repeats what it was sent in its own encoding (its JSON has ``\\u003d`` for ``=``), and proxies use others. So each
character of a secret is matched in each of its encodings, in any mixture.
"""

import html
import re
from collections.abc import Callable, Iterable

_MASK = "***"
_SLASH = r"(?:\\*/|(?i:%(?:25)*2f|\\+u002f))"
# Up to the end of the path segment. An escaped quotation mark ends it, too; other escaped characters do not.
_KEY_IN_URL = re.compile(
    rf"(?P<before>{_SLASH}tasks{_SLASH})" r"(?:\\+u(?!002[27])[0-9A-Fa-f]{4}|[^\s\"'<>\\/?#])+", re.ASCII
)


def masker(secrets: Iterable[str]) -> Callable[[str], str]:
    """Return a function that replaces each of `secrets`, and whatever follows ``/tasks/`` in a URL, by ``***``.

    The latter may be the key of an earlier hook, which is not among `secrets`.
    """
    # Longest first, because one secret may be the beginning of another.
    known = sorted(filter(None, set(secrets)), key=len, reverse=True)
    spellings = re.compile("|".join(map(_any_spelling, known)) or r"(?!)")

    def mask(text: str) -> str:
        return _KEY_IN_URL.sub(rf"\g<before>{_MASK}", spellings.sub(_MASK, text))

    return mask


def _any_spelling(secret: str) -> str:
    return "".join(f"(?:{'|'.join(_spellings(char))})" for char in secret)


def _spellings(char: str) -> Iterable[str]:
    """Yield patterns for `char` as it is, in a URL, in JSON and in HTML; in URL and JSON also if encoded twice."""
    yield (r"\\*" if char in '"\\/' else "") + re.escape(char)
    yield "(?i:" + "".join(f"%(?:25)*{byte:02x}" for byte in char.encode("utf-8", "surrogatepass")) + ")"
    units = char.encode("utf-16-be", "surrogatepass").hex()
    yield "(?i:" + "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4)) + ")"
    yield re.escape(html.escape(char))
    yield f"(?i:&#0*{ord(char)};|&#x0*{ord(char):x};)"
