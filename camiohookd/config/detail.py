"""How closely pictures are looked at, as the settings say it."""

from typing import Literal

Detail = Literal["auto", "whole", "tiles", "2x2", "3x3"]
"""`whole`: the whole picture alone; `2x2`, `3x3`: overlapping tiles of it, too; `tiles`: as many as its pixels are
worth; `auto`: where the pictures of an event differ and, once an event, the rest; less while other events wait."""
