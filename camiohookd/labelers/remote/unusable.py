"""The error of a server that sent what cannot be used."""

_MOST_TEXT = 200


class Unusable(Exception):
    """What a server sent cannot be used; the text says why, and begins with a verb: "answered 500"."""


def one_line(text: object) -> str:
    """Return what a server sent as one line of at most 200 characters."""
    return " ".join(str(text).split())[:_MOST_TEXT]
