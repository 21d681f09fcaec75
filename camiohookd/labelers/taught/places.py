"""Where the files of taught labels are, and their names. Imports nothing that takes memory."""

import re
from pathlib import Path

from camiohookd.errors import CamiohookdError

FOLDER = "taught"
"""In the state folder."""

_ENDING = ".taught"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")


class TaughtError(CamiohookdError):
    """What was taught cannot be read, kept or used. The text names the file and says what to do."""


def check_name(name: str) -> str:
    """Return `name` if it can be the name of a file. Raises TaughtError."""
    if not _NAME.fullmatch(name):
        raise TaughtError(
            f'"{name}" cannot be a name: expected 1 to 64 letters, digits, spaces or any of . _ - that begin with a '
            "letter or digit"
        )
    return name


def path_of(state: Path, name: str) -> Path:
    """Return the file of what was taught as `name`. Raises TaughtError."""
    return state / FOLDER / f"{check_name(name)}{_ENDING}"


def files(state: Path) -> list[Path]:
    """Return all files in the state folder, by name; none if there is no such folder. Raises OSError."""
    return sorted((state / FOLDER).glob(f"*{_ENDING}"))
