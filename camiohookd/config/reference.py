"""Write the settings down for people: the commented example file, the table of docs/configure.md, the manual page.

`settings` (names, types, defaults, descriptions) → text. Nothing about a setting is said here, so that the
texts and the program cannot differ.
"""

import json
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple, get_args

import msgspec

from camiohookd.config.expected import expected
from camiohookd.config.load import SECTIONS
from camiohookd.config.quantities import ByteSize, Duration
from camiohookd.config.rule import Rule, Zone
from camiohookd.config.tables import settings_of, table_kind, variable

_WIDTH = 100
_BEGIN = "<!-- settings:begin -->\n"
_END = "<!-- settings:end -->"
_RULES: dict[str, type[msgspec.Struct]] = {"rule": Rule, "rule.zone": Zone}
_HEAD = """\
# The settings of camiohookd. Each is shown with its default: take the "#" before it away to change it.
"""
ABOUT = f"""\
Try the file with "camiohookd check --config FILE"; rules, keys and certificates hold after "systemctl reload \
camiohookd", all else after "systemctl restart camiohookd". Every setting outside [[rule]] can also come from the \
environment, which wins: {variable("hook", "listen")} is [hook] listen; a list is written as JSON. \
With several [[labeler]], their settings can only be in the file. The pages that are named here as docs/ are in \
/usr/share/doc/camiohookd."""


class Setting(NamedTuple):
    """A setting in words. `value` is TOML: the default, or an example if there is no default."""

    key: str
    value: str
    default: str
    takes: str
    description: str


class SettingsTable(NamedTuple):
    """The settings of one section. `header` is TOML."""

    header: str
    about: str
    settings: list[Setting]


def example_config() -> str:
    """Return the example file: every default is commented out. Without the comment signs it is valid TOML, too."""
    parts = [_HEAD + "\n".join(_comment(ABOUT)) + "\n"]
    parts += [_table(f"[{name}]", kind) for name, kind in SECTIONS.items()]
    parts += [_table(f"#[[{name}]]", kind) for name, kind in _RULES.items()]
    return "\n".join(parts)


def settings_table() -> str:
    """Return all settings as a markdown table."""
    lines = ["| setting | default | takes | what it does |", "|---|---|---|---|"]
    for table in tables():
        lines.append(f"| **`{table.header}`** | | | {_cell(table.about)} |")
        lines += [
            f"| `{setting.key}` | {setting.default} | {_cell(setting.takes)} | {_cell(setting.description)} |"
            for setting in table.settings
        ]
    return "\n".join(lines) + "\n"


def tables() -> Iterator[SettingsTable]:
    """Yield the sections, in the order of the file."""
    for name, kind in SECTIONS.items():
        yield SettingsTable(f"[{name}]", _about(kind), _settings(kind))
    for name, kind in _RULES.items():
        yield SettingsTable(f"[[{name}]]", _about(kind), _settings(kind))


def with_table(page: str) -> str:
    """Return `page` with the present table between its two markers."""
    before, _, rest = page.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}{settings_table()}{_END}{after}"


def _table(header: str, kind: type[msgspec.Struct]) -> str:
    lines = [*_comment(_about(kind)), header]
    for setting in _settings(kind):
        lines += ["", *_comment(setting.description), *_comment(f"Takes {setting.takes}.")]
        lines.append(f"#{setting.key} = {setting.value}")
    return "\n".join(lines) + "\n"


def _about(kind: type[msgspec.Struct]) -> str:
    return " ".join(str(kind.__doc__).split())


def _settings(kind: type[msgspec.Struct]) -> list[Setting]:
    return [
        _setting(field)
        for field in msgspec.structs.fields(kind)
        if field.name in settings_of(kind) and not table_kind(field.type)
    ]


def _setting(field: msgspec.structs.FieldInfo) -> Setting:
    meta: msgspec.Meta = get_args(field.type)[-1]
    default = field.default_factory() if callable(field.default_factory) else field.default
    given = default not in (None, msgspec.NODEFAULT)
    value = _toml(default if given else (meta.examples or [None])[0])
    default = f"`{value}`" if given else "has to be set" if field.required else "not set"
    return Setting(field.name, value, default, expected(field.type), str(meta.description))


def _toml(value: Any) -> str:
    if isinstance(value, Duration | ByteSize):
        return value.as_toml()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{}" if not value else f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
