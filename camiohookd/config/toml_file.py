"""A settings file as it is written: path ─▶ tables, and the line of each table and key for error messages."""

import codecs
import tomllib
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from camiohookd.config.toml_syntax import HEADER, KEY, explain
from camiohookd.errors import ConfigError
from camiohookd.system.permissions import reason


class TomlFile(NamedTuple):
    """The tables of a file, and its text to find the line of a key."""

    path: Path
    text: str
    tables: dict[str, Any]

    def where(self, section: str, key: str = "", *nth: int) -> str:
        """Return the place for an error: the file, the line if it is known, and the key (or the header).

        `nth` selects one of several tables of that name. For a table within a table, the outer number comes first,
        and the last number may be left out: ``where("rule.zone", "name", 1, 0)`` is in the first zone of the second
        rule.
        """
        line = _line_of(self.text, section, key, nth)
        place = f"{self.path}, line {line}" if line else str(self.path)
        return f"{place}: {section}.{key}" if key else f"{place}: {section}"


def read(path: Path, *, required: bool) -> TomlFile:
    """Read the file `path`; one that does not exist is empty unless it is `required`.

    Raises ConfigError with the file, the line and the reason. Windows' line ends and byte order mark are accepted.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
        return TomlFile(path, text, tomllib.loads(text))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: there is no such file") from None
        return TomlFile(path, "", {})
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {reason(error, path)}") from None
    except UnicodeDecodeError as error:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise ConfigError(f"{path}: is UTF-16 text; save it as UTF-8") from None
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}, {explain(text, error)}") from None


def _line_of(text: str, section: str, key: str, nth: tuple[int, ...]) -> int:
    """Return the line, from 1, of `key` (or the header) in the `nth` table `section`; 0 if it is not found.

    Without a `key`, `section` may also be a key before the first header.
    """
    names = list(accumulate(section.split("."), "{}.{}".format))
    wanted = (*nth, *[0] * len(names))[: len(names)]
    tables: dict[str, int] = {}
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if header := HEADER.match(line):
            # The count of tables within a table starts again in the next one.
            tables = {name: count for name, count in tables.items() if not name.startswith(f"{header[2]}.")}
            tables[header[2]] = tables.get(header[2], -1) + 1
            inside = header[2] == section and wanted == tuple(tables.get(name, 0) for name in names)
            if inside and not key:
                return number
        elif (found := KEY.match(line)) and (
            found[1] == key if inside else not tables and not key and found[1] == section
        ):
            return number
    return 0
