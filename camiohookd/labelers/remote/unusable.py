"""The error of a server that sent what cannot be used."""

_MOST_TEXT = 200
_MOST_READ = 1000


class Unusable(Exception):
    """What a server sent cannot be used; the text says why, and begins with a verb: "answered 500"."""


def one_line(text: object) -> str:
    """Return what a server sent as one line of at most 200 characters, all of which can be printed."""
    printable = (each if each.isprintable() else " " for each in str(text)[:_MOST_READ])
    return " ".join("".join(printable).split())[:_MOST_TEXT]
