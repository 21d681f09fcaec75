"""How pictures are looked at, as the settings say it."""

from typing import Literal, NamedTuple

Detail = Literal["auto", "whole", "tiles", "2x2", "3x3"]
"""`whole`: the whole picture alone; `2x2`, `3x3`: overlapping tiles of it, too; `tiles`: as many as its pixels are
worth; `auto`: where the pictures of an event differ and, once an event, the rest; less while other events wait."""

Static = Literal["drop", "mark", "keep"]
"""What is done with an object that is always there: left out, marked in the log and on the status page, or nothing."""


class Looking(NamedTuple):
    """How pictures are looked at where no rule says it; `static` holds for `static_labels`, for all if that is ()."""

    detail: Detail = "whole"
    static: Static = "keep"
    static_labels: tuple[str, ...] = ("person",)


WHOLE = Looking()
