"""Show on a terminal where a query is wrong."""

import unicodedata

from camiohookd.errors import QueryError


def caret(text: str, error: QueryError) -> str:
    """Return two lines for a terminal: the line of `text` that is wrong, and a ``^`` under the place."""
    offset = min(error.offset, len(text))
    start = text.rfind("\n", 0, offset) + 1
    column = offset - start
    # A terminal wraps a long line, which would move the ^ under another word: show only a part of the line.
    first = max(0, column - 50)
    shown = "".join(_printable(char) for char in text[start:].split("\n", 1)[0][first : first + 75])
    return f"{shown}\n{''.join(_blank(char) for char in shown[: column - first])}^"


def _printable(char: str) -> str:
    return char if char.isprintable() or char == "\t" else "\N{REPLACEMENT CHARACTER}"


def _blank(char: str) -> str:
    """Return white space as wide as `char` is on a terminal."""
    if char == "\t":
        return char
    if unicodedata.combining(char):
        return ""
    return "  " if unicodedata.east_asian_width(char) in "WF" else " "
