"""Change single settings in the owner's file; everything else stays as it is written, comments and order too.

text, {(section, key): value} ─▶ a key that is there: its value is replaced (tomlkit)
                              ─▶ one that is commented out: that line is replaced
                              ─▶ else: a line below the section's header, or a new section at the end

Of several [[labeler]] it is the first that is changed.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from camiohookd.config.toml_syntax import HEADER
from camiohookd.errors import CamiohookdError

Value = str | bool | int | list[str]
SettingChanges = Mapping[tuple[str, str], Value]


def set_values(text: str, changes: SettingChanges) -> str:
    """Return `text`, valid TOML, with the settings of `changes`. Raises CamiohookdError if that cannot be written."""
    for (section, key), value in changes.items():
        text = _set(text, section, key, value)
    return text


def as_line(key: str, value: Value) -> str:
    """Return the line of a setting."""
    return f"{key} = {as_value(value)}"


def as_value(value: Any) -> str:
    """Return a value as TOML."""
    text: str = tomlkit.item(value).as_string()
    return text


def _set(text: str, section: str, key: str, value: Value) -> str:
    tables = tomllib.loads(text)
    wanted = _changed(tables, section, key, value)
    for write in (_replace if section in tables else _insert, _insert, _replace):
        written = _tried(write, text, section, key, value)
        if wanted is not None and written is not None and _parsed(written) == wanted:
            return written
    raise CamiohookdError(
        f"the settings file is written in a way that this program cannot change; write it yourself, under [{section}]: "
        f"{as_line(key, value)}"
    )


def _changed(tables: dict[str, Any], section: str, key: str, value: Value) -> dict[str, Any] | None:
    """Return the tables with that value; of several tables of that name, the first is changed."""
    match tables.get(section, {}):
        case dict() as table:
            return tables | {section: table | {key: value}}
        case [dict() as first, *others]:
            return tables | {section: [first | {key: value}, *others]}
    return None


def _tried(write: Any, text: str, section: str, key: str, value: Value) -> str | None:
    try:
        written: str | None = write(text, section, key, value)
    except (TOMLKitError, ValueError, TypeError, AttributeError):  # such as a section that is an inline table
        return None
    return written


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


def _replace(text: str, section: str, key: str, value: Value) -> str | None:
    """Replace the value of a key that is there; None if it is not there, unless its section has no header."""
    document = tomlkit.parse(text)
    table: Any = document.get(section)
    if isinstance(table, list):
        table = table[0]
    if table is None or (key not in table and _header_of(_lines(text), section) is not None):
        return None
    table[key] = value
    return tomlkit.dumps(document)


def _insert(text: str, section: str, key: str, value: Value) -> str:
    """Write the setting as a line of its own: where it is commented out, else below the header of its section."""
    end = "\r\n" if "\r\n" in text else "\n"
    lines = _lines(text)
    line, header = as_line(key, value), _header_of(lines, section)
    if header is None:
        gap = [""] if lines and lines[-1].strip() else []
        return end.join([*lines, *gap, f"[{section}]", line, ""])
    commented = re.compile(rf"#\s*{re.escape(key)}\s*=")
    for number in range(header + 1, len(lines)):
        if HEADER.match(lines[number]):
            break
        if commented.match(lines[number]):
            return end.join([*lines[:number], line, *lines[number + 1 :], ""])
    return end.join([*lines[: header + 1], line, *lines[header + 1 :], ""])


def _lines(text: str) -> list[str]:
    """Return the lines as TOML has them: a form feed, say, ends none."""
    lines = re.split(r"\r?\n", text)
    return lines[:-1] if not lines[-1] else lines


def _header_of(lines: list[str], section: str) -> int | None:
    return next(
        (number for number, line in enumerate(lines) if (found := HEADER.match(line)) and found[2] == section),
        None,
    )
