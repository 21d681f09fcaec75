"""Rules as TOML text, and text as rules: `text_of` writes what `read` reads.

The strings are basic strings of TOML 1.0.0 (https://toml.io/en/v1.0.0#string), keys of inline tables are quoted.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from camiohookd.config.rule import Rule, Zone
from camiohookd.config.tables import array_of_tables
from camiohookd.config.toml_file import TomlFile
from camiohookd.config.toml_syntax import explain
from camiohookd.errors import ConfigError

DIGITS = 4
"""Decimals of a zone's corners: a tenth of a pixel of a 1000-pixel picture."""


def text_of(rule: Rule) -> str:
    """Return `rule` as a ``[[rule]]`` of the settings: its camera, and each setting that is not the default."""
    lines = ["[[rule]]", f"camera = {_value(rule.camera)}"]
    lines += [
        f"{field.name} = {_value(value)}"
        for field in msgspec.structs.fields(Rule)
        if field.name not in ("camera", "zone") and (value := getattr(rule, field.name)) != _default(field)
    ]
    for zone in rule.zone:
        lines += ["", *_zone_lines(zone)]
    return "\n".join(lines) + "\n"


def read(text: str, source: str) -> tuple[Rule, ...]:
    """Return the rules in `text`, which holds one ``[[rule]]`` or more and nothing else.

    `source` is what errors call the text. Raises ConfigError.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}, {explain(text, error)}") from None
    file = TomlFile(Path(source), text, tables)
    if others := [name for name in tables if name != "rule"]:
        raise ConfigError(f"{file.where(others[0])}: expected rules only, each written [[rule]]")
    rules: tuple[Rule, ...] = array_of_tables(file, "rule", Rule, tables.get("rule", []), homes={"rule": Rule})
    if not rules:
        raise ConfigError(f"{source}: there is no rule; expected one or more, each written [[rule]]")
    return rules


def _zone_lines(zone: Zone) -> list[str]:
    return ["[[rule.zone]]", *(f"{name} = {_value(getattr(zone, name))}" for name in ("name", "kind", "polygon"))]


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if callable(field.default_factory) else field.default


def _value(value: Any) -> str:
    if isinstance(value, str):
        # JSON's escapes are TOML's, but TOML wants DEL escaped, too.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, float):
        return repr(value) if value == int(value) or abs(value) < 10**-DIGITS else f"{round(value, 6)!r}"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_value(key)} = {_value(each)}' for key, each in value.items())} }}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value)
