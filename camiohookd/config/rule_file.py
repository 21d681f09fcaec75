"""Add rules to the settings file as text: everything else in it, comments included, stays as it is.

rules as TOML ─▶ `add` ─▶ the file with them at its end, checked as a whole before it is written
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from camiohookd.config import load, owner_file, rule_text, toml_file
from camiohookd.config.load import Config
from camiohookd.config.rule import Rule
from camiohookd.config.toml_file import TomlFile
from camiohookd.config.toml_syntax import HEADER
from camiohookd.errors import CamiohookdError

_BY_HAND = "change the file by hand"


def add(path: Path, text: str, source: str, *, replace: bool) -> tuple[Sequence[Rule], Config]:
    """Add the rules in `text` to the settings file `path`; return them, and all settings.

    `source` is what errors call `text`. A rule of the same camera that is in the file already would keep a new one from
    applying: with `replace` it is removed, otherwise that is an error. Raises CamiohookdError, and then the file is as
    it was.
    """
    added = rule_text.read(text, source)
    file = toml_file.read(path, required=False)
    before = load.settings_of(file)
    cameras = [rule.camera for rule in added]
    if twice := next((camera for camera in cameras if cameras.count(camera) > 1), None):
        raise CamiohookdError(
            f'{source}: there are several rules for camera = "{twice}"; one of them would never apply'
        )
    old = [number for number, rule in enumerate(before.rule) if rule.camera in cameras]
    if old and not replace:
        number = old[0]
        raise CamiohookdError(
            f'{file.where("rule", "", number)}: there is a rule for camera = "{before.rule[number].camera}" already; '
            "--replace puts the new one in its place"
        )
    written = f"{_without(file.text, old).rstrip()}\n\n{text.strip()}\n".lstrip()
    kept = tuple(rule for number, rule in enumerate(before.rule) if number not in old)
    after = _checked(TomlFile(path, written, {}), msgspec.structs.replace(before, rule=(*kept, *added)))
    owner_file.replace_settings(path, written)
    return added, after


def _checked(file: TomlFile, expected: Config) -> Config:
    """Return the settings in the text of `file`. Raises CamiohookdError if they are not those that are expected."""
    try:
        found = load.settings_of(file._replace(tables=tomllib.loads(file.text)))
    except tomllib.TOMLDecodeError as error:
        reason = f"with the rule at its end it would not be valid TOML ({error})"
        raise CamiohookdError(f"{file.path}: {reason}; {_BY_HAND}") from None
    if found != expected:
        raise CamiohookdError(f"{file.path}: the rule cannot be put in its place; {_BY_HAND}")
    return found


def _without(text: str, rules: Sequence[int]) -> str:
    """Return `text` without the rules of these numbers, which count from 0, and their zones.

    Comments before the next table stay: they are about that one.
    """
    kept: list[str] = []
    cut: list[str] = []
    number, is_cut = -1, False
    for line in text.splitlines(keepends=True):
        header = HEADER.match(line)
        if header and not header[2].startswith("rule."):
            kept += _last_comments(cut)
            cut = []
            number += header[2] == "rule"
            is_cut = header[2] == "rule" and number in rules
        (cut if is_cut else kept).append(line)
    return "".join(kept + _last_comments(cut))


def _last_comments(lines: Sequence[str]) -> list[str]:
    """Return the comments and empty lines at the end of `lines`."""
    count = 0
    for line in reversed(lines):
        if line.strip() and not line.lstrip().startswith("#"):
            break
        count += 1
    return list(lines[len(lines) - count :])
