"""How closely pictures are looked at, as the settings say it."""

from typing import Literal

Detail = Literal["whole", "tiles", "2x2", "3x3"]
"""`whole`: the whole picture alone; `2x2`, `3x3`: overlapping tiles of it, too; `tiles`: as many as its pixels are
worth."""
