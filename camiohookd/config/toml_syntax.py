"""Explain a TOML syntax error to a person: the line, a caret, and what to write instead.

    text, tomllib's error ─▶ `explain` ─▶ "line 3: not valid TOML: text needs quotation marks: write camera = "front""
                                          "    camera = front"
                                          "             ^"

The first line says everything; the others show the place. No part of a key is shown.
"""

import re
import tomllib
from collections.abc import Callable
from typing import NamedTuple

from camiohookd.config import key_strength
from camiohookd.system.logs import escape

HEADER = re.compile(r"\s*(\[+)\s*([\w.-]+)\s*\]")
KEY = re.compile(r"\s*([\w-]+)\s*=")

_PLACE = re.compile(r"\s*\(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_SETTING = re.compile(r"\s*(?P<key>[\w.\"'-]+)\s*(?P<sign>[=:])\s*(?P<value>.*?)\s*")
_TYPOGRAPHIC = str.maketrans(dict.fromkeys("“”„‟«»″‘’‚‛‹›′`", '"'))  # noqa: RUF001  # the characters are the point
_SPACES = str.maketrans(dict.fromkeys("\xa0\u2007\u202f\u200b\ufeff", " "))
_BOOLEANS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}")
_MASK = "***"
_LONGEST = 100


class _Advice(NamedTuple):
    problem: str
    write: str


def explain(text: str, error: tomllib.TOMLDecodeError) -> str:
    """Return what is wrong with `text`, beginning with the line if that is known; several lines."""
    message = str(error)
    place = _PLACE.search(message)
    reason = message[: place.start()] if place else message
    # For a repetition, tomllib names neither the key nor, at the end of a file, the line.
    if reason.startswith("Cannot ") and (repetition := _repetition(text)):
        return repetition
    lines = text.rstrip().replace("\r\n", "\n").split("\n")  # as tomllib counts them
    number = min(int(place["line"]), len(lines)) if place and place["line"] else len(lines)
    column = int(place["column"]) if place and place["column"] else len(lines[-1]) + 1
    return _explained(lines, number, column, f"{reason[:1].lower()}{reason[1:]}")


def _explained(lines: list[str], number: int, column: int, reason: str) -> str:
    line = lines[number - 1]
    setting = None if reason.startswith("cannot ") else _SETTING.fullmatch(line)
    secret = _is_of_a_key(lines, number)
    if setting and (advice := _advice(line, setting["key"], setting["sign"], setting["value"])):
        write = re.sub(r"(?<== ).*", '"..."', advice.write) if secret else advice.write
        reason, column = f"{advice.problem}: write {write}", setting.start("value") + 1
    first = f"line {number}: not valid TOML: {reason}"
    shown = _shown(line, column, secret=secret)
    return f"{first}\n{shown}" if shown else first


def _is_of_a_key(lines: list[str], number: int) -> bool:
    """Return whether the line, or the setting that it continues, may hold an API key."""
    for line in reversed(lines[:number]):
        if "key" in line.lower():
            return True
        if KEY.match(line) or line.lstrip().startswith("["):
            return False
    return False


def _shown(line: str, column: int, *, secret: bool) -> str:
    """Return the line with a caret below; without the value where it is secret, "" where nothing may be shown."""
    if secret:
        setting = _SETTING.fullmatch(line)
        return f"    {line[: setting.start('value')].strip()} {_MASK}" if setting else ""
    masked = _TOKEN.sub(lambda token: token[0] if key_strength.is_weak(token[0]) else _MASK, line)
    if masked != line:
        return f"    {escape(masked.strip())[:_LONGEST]}"
    start = max(0, column - _LONGEST)
    shown, before = (
        escape(part.replace("\t", " ")) for part in (line[start : start + _LONGEST], line[start : column - 1])
    )
    return f"    {shown}\n    {' ' * len(before)}^"


def _advice(line: str, key: str, sign: str, value: str) -> _Advice | None:
    """Return what to write instead of the line, where that is one of the usual slips and would be valid."""
    for correct in _CORRECTIONS:
        advice = correct(key, value)
        if advice and _is_valid(advice.write):
            return advice
    if sign == ":" and _is_valid(f"{key} = {value}"):
        return _Advice("a setting has an equals sign", f"{key} = {value}")
    if (spaced := line.translate(_SPACES)) != line and _is_valid(spaced):
        return _Advice("there is a special space, perhaps copied from a web page", spaced.strip())
    return None


def _straight_quotes(key: str, value: str) -> _Advice | None:
    straight = value.translate(_TYPOGRAPHIC)
    if straight == value:
        return None
    return _Advice("typographic quotation marks", f"{key} = {straight}")


def _boolean(key: str, value: str) -> _Advice | None:
    written = _BOOLEANS.get(value.lower())
    return _Advice("true and false are written in small letters", f"{key} = {written}") if written else None


def _quoted_text(key: str, value: str) -> _Advice | None:
    text = value.partition(" #")[0].strip()
    if not text or re.search(r"[\"'\[\]{}\\]", text):
        return None
    return _Advice("text needs quotation marks", f'{key} = "{text}"')


def _quoted_list(key: str, value: str) -> _Advice | None:
    if not re.fullmatch(r"\[.*\]", value):
        return None
    quoted = re.sub(r"\"[^\"]*\"|'[^']*'|[^\s\"'\[\],#][^\"'\[\],#]*", _quote, value)
    return _Advice("text needs quotation marks", f"{key} = {quoted}")


def _quote(item: re.Match[str]) -> str:
    text = item[0].strip()
    return text if text[0] in "\"'" or _is_valid(f"x = {text}") else f'"{text}"'


def _closed_text(key: str, value: str) -> _Advice | None:
    if not re.fullmatch(r"(?P<quote>[\"'])(?!(?P=quote)).*", value) or value.count(value[0]) != 1:
        return None
    return _Advice("the closing quotation mark is missing", f"{key} = {value}{value[0]}")


def _backslashes(key: str, value: str) -> _Advice | None:
    if not re.fullmatch(r'"[^"\']*\\[^"\']*"', value):
        return None
    return _Advice("text with backslashes needs single quotation marks", f"{key} = '{value[1:-1]}'")


_CORRECTIONS: tuple[Callable[[str, str], _Advice | None], ...] = (
    _straight_quotes,
    _boolean,
    _quoted_text,
    _quoted_list,
    _closed_text,
    _backslashes,
)


def _is_valid(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True


def _repetition(text: str) -> str:
    """Return an error for the first table or key that is defined twice, "" if none is."""
    seen: dict[str, int] = {}
    lists: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := HEADER.match(line):
            table = name = header[2]
            what = f"table [{name}]"
            mixed = seen if header[1] == "[[" else lists
            if name in mixed:
                return (
                    f"line {number}: [{name}] and [[{name}]] cannot both be used (the other is in line {mixed[name]}): "
                    f"for several, write [[{name}]] each time"
                )
            if header[1] == "[[":  # one more of its kind, with keys of its own
                lists.setdefault(name, number)
                seen = {known: first for known, first in seen.items() if not known.startswith(f"{table}.")}
                continue
        elif key := KEY.match(line):
            name = f"{table}.{key[1]}".lstrip(".")
            what = f"key {name}"
        else:
            continue
        if name in seen:
            return f"line {number}: duplicate {what} (first defined in line {seen[name]})"
        seen[name] = number
    return ""
