"""Turn what the file or the environment says into checked values of the settings' types.

    TOML tables ─▶ `checked`, `array_of_tables` ─┐
    environment ─▶ `from_environment`           ─┴▶ keyword arguments for the sections, or a ConfigError

An error names the file and line (or the variable), the key, the value and what is expected. It never shows a key.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

import msgspec
import msgspec.inspect

from camiohookd.config.expected import expected
from camiohookd.config.toml_file import TomlFile
from camiohookd.config.values import ApiKey, decode
from camiohookd.errors import ConfigError

PREFIX = "CAMIOHOOKD_"
_SHOWN = 80

Section = type[msgspec.Struct]
Sections = Mapping[str, Section]


def variable(section: str, key: str) -> str:
    """Return the environment variable of a setting, such as ``CAMIOHOOKD_HOOK_LISTEN``."""
    return f"{PREFIX}{section}_{key}".replace(".", "_").upper()


def in_environment(name: str) -> str:
    """Return the place of an error: the environment variable `name`."""
    return f"{name} (in the environment)"


def settings_of(section: Section) -> dict[str, Any]:
    """Return the type of each setting of a section; a type is Annotated with the description."""
    return {
        field.name: field.type for field in msgspec.structs.fields(section) if field.name not in tables_within(section)
    }


def tables_within(section: Section) -> dict[str, Section]:
    """Return the tables within a section's table, such as [labeler.remote], by their own name."""
    return {
        field.name: field.type
        for field in msgspec.structs.fields(section)
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
    }


def table_kind(kind: Any) -> Section | None:
    """Return the struct of a setting that is an array of tables, None for any other setting."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType(cls=struct)):
            return struct
    return None


def checked(file: TomlFile, name: str, kind: Section, table: object, *nth: int, homes: Sections) -> dict[str, Any]:
    """Return the settings in `table`, which is the `nth` one of its name, as values of their types.

    `homes` are all sections: an error says to which of them an unknown key belongs. Raises ConfigError.
    """
    if not isinstance(table, dict):
        written = f"[[{name}]]" if nth else f"[{name}]"
        raise ConfigError(f"{file.where(name, '', *nth)}: expected a table, written {written}")
    settings, within = settings_of(kind), tables_within(kind)
    for key in table:
        if key not in settings and key not in within:
            where = file.where(name, key, *nth)
            raise ConfigError(f"{where}: {_belongs(key, homes) or f'unknown setting{hint(key, [*settings, *within])}'}")
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in table:
            raise ConfigError(f"{file.where(name, '', *nth)}: {field.name} is missing, {expected(field.type)}")
    return {key: _value(file, name, kind, key, value, *nth, homes=homes) for key, value in table.items()}


def _value(file: TomlFile, name: str, kind: Section, key: str, value: object, *nth: int, homes: Sections) -> Any:
    """Return one value of the table `name` as its type: a setting, a table or an array of tables."""
    if single := tables_within(kind).get(key):
        if not isinstance(value, dict):
            raise ConfigError(f"{file.where(name, key, *nth)}: expected a table, written [{name}.{key}]")
        return single(**checked(file, f"{name}.{key}", single, value, *nth, homes=homes))
    wanted = settings_of(kind)[key]
    if each := table_kind(wanted):
        return array_of_tables(file, f"{name}.{key}", each, value, *nth, homes=homes)
    return _convert(file.where(name, key, *nth), value, wanted)


def array_of_tables(
    file: TomlFile, name: str, kind: Section, tables: object, *nth: int, homes: Sections
) -> tuple[Any, ...]:
    """Return the tables written [[name]] as structs; `nth` is the place of the table around them."""
    if not isinstance(tables, list):
        raise ConfigError(f"{file.where(name, '', *nth)}: expected an array of tables, written [[{name}]]")
    return tuple(kind(**checked(file, name, kind, table, *nth, each, homes=homes)) for each, table in enumerate(tables))


def unknown_section(name: str, homes: Sections) -> str:
    """Return what is wrong with `name` at the top of the file: perhaps it is a setting without a section."""
    return _belongs(name, homes) or f"unknown section{hint(name, homes)}"


def from_environment(environ: Mapping[str, str], sections: Sections) -> Iterator[tuple[str, str, Any]]:
    """Yield (section, key, value) for each variable that is a setting; ConfigError for others with our prefix."""
    known = {
        variable(section, key): (section, key, kind)
        for section, settings in sections.items()
        for key, kind in settings_of(settings).items()
    }
    for name, text in environ.items():
        if name in known:
            section, key, kind = known[name]
            yield section, key, _convert(in_environment(name), text, kind, as_text=True)
        elif name.startswith(f"{PREFIX}RULE"):
            raise ConfigError(f"{in_environment(name)}: rules can only be set in the file, each as a [[rule]]")
        elif name.startswith(PREFIX):
            raise ConfigError(f"{in_environment(name)}: unknown setting{hint(name, known)}")


def hint(name: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown name, to append to an error."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else '; "camiohookd example-config" lists them all'


def _belongs(key: str, homes: Sections) -> str:
    """Return where a setting that is written in the wrong place belongs, "" if it belongs nowhere."""
    found = [_header(section) for section, kind in homes.items() if key in settings_of(kind)]
    return f"{key} belongs under {' or '.join(found)}; move this line there" if found else ""


def _header(section: str) -> str:
    return f"[[{section}]]" if section == "rule" else f"[{section}]"


def _convert(where: str, given: Any, kind: Any, *, as_text: bool = False) -> Any:
    """Return `given` as the setting's type; with `as_text` it is a variable's text, where a list is JSON."""
    as_json = as_text and get_origin(get_args(kind)[0]) is tuple
    try:
        value = json.loads(given) if as_json else given
        return msgspec.convert(value, kind, strict=not as_text, dec_hook=decode)
    except (msgspec.ValidationError, json.JSONDecodeError):
        shown = "a value (not shown)" if get_args(kind)[0] is ApiKey else _show(given)
        form = ", as JSON" if as_json else ""
        raise ConfigError(f"{where}: given {shown}, expected {expected(kind)}{form}") from None


def _show(given: object) -> str:
    text = json.dumps(given, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
