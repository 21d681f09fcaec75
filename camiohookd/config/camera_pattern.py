"""Names of cameras as the settings write them: exact, or with ``*`` for any characters."""

import re
from fnmatch import fnmatchcase


def matches(pattern: str, camera: str | None) -> bool:
    """Return whether `pattern` is for that camera; None is a camera without a name.

    ``*`` matches any characters, or none; every other character matches itself, case-sensitively.
    """
    # fnmatch treats ? and [ as special, too; in brackets they stand for themselves.
    return fnmatchcase(camera or "", re.sub(r"[?[]", r"[\g<0>]", pattern))
