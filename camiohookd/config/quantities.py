"""The kinds of number a setting can have, each written the way a person would and checked when it is read.

A TOML value or an environment variable's text → `Count`, `Duration` (seconds), `ByteSize`: each a plain int or float to
the rest of the program.
"""

import re
from typing import Annotated, ClassVar, Self

from msgspec import Meta

_NUMBER = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[A-Za-z]*)", re.ASCII)
_LONGEST = 10 * 365 * 86400
_LARGEST = 1 << 60

Count = Annotated[int, Meta(ge=1)]


class Duration(float):
    """Seconds, over 0; written as a number of seconds or with a unit."""

    expected: ClassVar[str] = 'a number of seconds over 0, or "30s", "10min", "24h", "14d"'
    _units: ClassVar[dict[str, int]] = {"d": 86400, "h": 3600, "min": 60, "s": 1}

    def __new__(cls, value: object) -> Self:
        seconds = _quantity(value, {"": 1} | cls._units)
        if not 0 < seconds <= _LONGEST:
            raise ValueError("out of range")
        return super().__new__(cls, seconds)

    def as_toml(self) -> str:
        return _with_unit(self, self._units, "")


class ByteSize(int):
    """Bytes, 1 or more; written as a number of bytes or with a unit."""

    expected: ClassVar[str] = 'a number of bytes over 0, or "500 kB", "200 MB", "32 MiB", "20 GB"'
    _units: ClassVar[dict[str, int]] = {
        "GiB": 1 << 30,
        "GB": 10**9,
        "MiB": 1 << 20,
        "MB": 10**6,
        "KiB": 1 << 10,
        "kB": 10**3,
        "B": 1,
    }
    _least: ClassVar[int] = 1

    def __new__(cls, value: object) -> Self:
        size = _quantity(value, {"": 1} | cls._units)
        if not cls._least <= size <= _LARGEST or size % 1:
            raise ValueError("out of range")
        return super().__new__(cls, int(size))

    def as_toml(self) -> str:
        return _with_unit(self, self._units, " ")


class OptionalByteSize(ByteSize):
    """Bytes, where 0 has a meaning of its own."""

    expected: ClassVar[str] = ByteSize.expected.replace("over 0", "or 0")
    _least: ClassVar[int] = 0


def _quantity(value: object, units: dict[str, int]) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise ValueError("not text")
    match = _NUMBER.fullmatch(value.strip())
    if match is None or match["unit"] not in units:
        raise ValueError("not a number with a unit")
    number = match["number"]
    return (float(number) if "." in number else int(number)) * units[match["unit"]]


def _with_unit(value: float, units: dict[str, int], gap: str) -> str:
    """Return `value` as TOML, in the largest unit that says it exactly."""
    for unit, size in units.items():
        if value and value % size == 0:
            return f'"{int(value // size)}{gap}{unit}"'
    return repr(value)
