"""A settings file as it was written: its path → its tables, and for a table or a key the line that it stands in.

What cannot be read ends as a `ConfigError` that names the file, the line and the reason.
"""

import re
import tomllib
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from camiohookd.errors import ConfigError
from camiohookd.system.permissions import remedy

_HEADER = re.compile(r"\s*(\[+)\s*([\w.-]+)\s*\]")
_KEY = re.compile(r"\s*([\w-]+)\s*=")


class TomlFile(NamedTuple):
    """The tables of a file, and its text to tell the line of a key."""

    path: Path
    text: str
    tables: dict[str, Any]

    def where(self, section: str, key: str = "", *nth: int) -> str:
        """For an error: the file, the line if it can be told, and the key (or the header).

        `nth` says which table of that name; of one within a table first which of those, and may leave the last out:
        ``where("rule.zone", "name", 1, 0)`` is in the first zone of the second rule.
        """
        line = _line_of(self.text, section, key, nth)
        place = f"{self.path}, line {line}" if line else str(self.path)
        return f"{place}: {section}.{key}" if key else f"{place}: {section}"


def read(path: Path, *, required: bool) -> TomlFile:
    """The file `path`; one that is not there is an empty one unless it is `required`. Raises ConfigError."""
    try:
        text = path.read_bytes().decode()
        return TomlFile(path, text, tomllib.loads(text))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: there is no such file") from None
        return TomlFile(path, "", {})
    except OSError as error:
        advice = remedy(path) if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{path}: cannot be read: {error.strerror}{advice}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        # Of a repetition tomllib tells neither what it is nor, at the end of a file, where.
        if str(error).startswith("Cannot ") and (repetition := _repetition(text)):
            raise ConfigError(f"{path}, {repetition}") from None
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _line_of(text: str, section: str, key: str, nth: tuple[int, ...]) -> int:
    """The line, from 1, of `key` (or the header) in the `nth` table `section`, 0 if it is written some other way."""
    names = list(accumulate(section.split("."), "{}.{}".format))
    wanted = (*nth, *[0] * len(names))[: len(names)]
    tables: dict[str, int] = {}
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            # Tables within one are counted anew in the next.
            tables = {name: count for name, count in tables.items() if not name.startswith(f"{header[2]}.")}
            tables[header[2]] = tables.get(header[2], -1) + 1
            inside = header[2] == section and wanted == tuple(tables.get(name, 0) for name in names)
            if inside and not key:
                return number
        elif inside and (found := _KEY.match(line)) and found[1] == key:
            return number
    return 0


def _repetition(text: str) -> str:
    """The first table or key that stands there a second time, with both lines; "" if none does."""
    seen: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            table = name = header[2]
            if header[1] == "[[":  # one more of its kind, with keys of its own
                seen = {known: first for known, first in seen.items() if not known.startswith(f"{table}.")}
                continue
        elif key := _KEY.match(line):
            name = f"{table}.{key[1]}".lstrip(".")
        else:
            continue
        if name in seen:
            return f"line {number}: {name} stands there a second time, the first is in line {seen[name]}"
        seen[name] = number
    return ""
