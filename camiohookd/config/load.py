"""The configuration as it was given: the TOML file, then the environment on top → `Config`, frozen and checked.

Read once, at the edge; an error names the file and line (or the variable), the key, what was given and what is
expected, and never shows the key's value.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import msgspec.inspect

from camiohookd.config import api_keys, toml_file
from camiohookd.config.paths import config_file
from camiohookd.config.settings import (
    KEY_ADVICE,
    AdminSettings,
    CallbackSettings,
    HookSettings,
    ImagesSettings,
    LabelerSettings,
    LogSettings,
    QueueSettings,
    Rule,
)
from camiohookd.config.toml_file import TomlFile
from camiohookd.config.values import ApiKey, decode, expected
from camiohookd.errors import ConfigError
from camiohookd.net.addresses import is_loopback

_PREFIX = "CAMIOHOOKD_"
_SHOWN = 80


class Config(msgspec.Struct, frozen=True):
    """All settings; `rule` in the order of the file."""

    hook: HookSettings = HookSettings()
    queue: QueueSettings = QueueSettings()
    labeler: LabelerSettings = LabelerSettings()
    images: ImagesSettings = ImagesSettings()
    callback: CallbackSettings = CallbackSettings()
    admin: AdminSettings = AdminSettings()
    log: LogSettings = LogSettings()
    rule: tuple[Rule, ...] = ()


Section = type[msgspec.Struct]

SECTIONS: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Config) if field.name != "rule"}


def variable(section: str, key: str) -> str:
    """The environment variable of a setting, e.g. ``CAMIOHOOKD_HOOK_LISTEN``."""
    return f"{_PREFIX}{section}_{key}".upper()


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The settings of the file `path` and of `environ`, which wins; ConfigError if either is wrong.

    Without a path the default file is read if it is there. Looks at nothing else: there may be no key, see
    `load_with_keys`.
    """
    return _settings(_read(path, environ), environ)


def load_with_keys(path: Path | None, environ: Mapping[str, str]) -> tuple[Config, dict[str, str]]:
    """As `load_config`, and the keys that Camio may use, by the name that the log gives them.

    ConfigError also if there is no key or a bad one.
    """
    file = _read(path, environ)
    config = _settings(file, environ)
    keys = {"default": str(config.hook.api_key)} if config.hook.api_key else {}
    listed = _keys_of_the_file(file, config, environ)
    if both := keys.keys() & listed.keys():
        raise ConfigError(
            f'{file.path}: hook.api_key goes by the name "{both.pop()}", as does a key in the file of keys'
        )
    keys |= listed
    if not keys:
        raise ConfigError(
            f"{file.path}: hook.api_key is not set, so nobody could post an event: {KEY_ADVICE} and write it as "
            f"api_key under [hook] in that file, or set {variable('hook', 'api_key')}; or have one made by "
            f'"camiohookd key new NAME"'
        )
    return config, keys


def keys_file(config: Config, path: Path) -> Path:
    """The file of keys: the one that is set, else the one beside `path`, the settings' file."""
    return Path(config.hook.api_keys_file) if config.hook.api_keys_file else path.with_name(api_keys.FILE_NAME)


def _keys_of_the_file(file: TomlFile, config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The keys by name; none where no file is set and there is none in the usual place."""
    path = keys_file(config, file.path)
    if not config.hook.api_keys_file:
        return api_keys.read(path) if path.exists() else {}
    named = variable("hook", "api_keys_file")
    return api_keys.read(path, _in_environment(named) if named in environ else file.where("hook", "api_keys_file"))


def _read(path: Path | None, environ: Mapping[str, str]) -> TomlFile:
    return toml_file.read(path or config_file(environ), required=path is not None)


def _settings(file: TomlFile, environ: Mapping[str, str]) -> Config:
    for name in file.tables:
        if name not in SECTIONS and name != "rule":
            raise ConfigError(f"{file.where(name)}: {_no_such_section(name)}")
    given = {section: _checked(file, section, kind, file.tables.get(section, {})) for section, kind in SECTIONS.items()}
    for section, key, value in _from_environment(environ):
        given[section][key] = value
    config = Config(**{section: kind(**given[section]) for section, kind in SECTIONS.items()}, rule=_rules(file))
    _check_together(config, file.path)
    return config


def _rules(file: TomlFile) -> tuple[Rule, ...]:
    return _tables(file, "rule", Rule, file.tables.get("rule", []))


def _tables(file: TomlFile, name: str, kind: Section, tables: object, *nth: int) -> tuple[Any, ...]:
    """Those written [[name]]; `nth` is the place of the table that they are in."""
    if not isinstance(tables, list):
        raise ConfigError(f"{file.where(name, '', *nth)}: expected a list of tables, written [[{name}]]")
    return tuple(kind(**_checked(file, name, kind, table, *nth, each)) for each, table in enumerate(tables))


def _checked(file: TomlFile, name: str, kind: Section, table: object, *nth: int) -> dict[str, Any]:
    """The settings in `table`, the `nth` of its name."""
    if not isinstance(table, dict):
        written = f"[[{name}]]" if nth else f"[{name}]"
        raise ConfigError(f"{file.where(name, '', *nth)}: expected a table, written {written}")
    fields = _fields(kind)
    for key in table:
        if key not in fields:
            where = file.where(name, key, *nth)
            raise ConfigError(f"{where}: there is no such setting{_hint(key, fields)}")
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in table:
            raise ConfigError(f"{file.where(name, '', *nth)}: {field.name} is missing, {expected(field.type)}")
    return {
        key: _tables(file, f"{name}.{key}", within, value, *nth)
        if (within := table_kind(fields[key]))
        else _convert(file.where(name, key, *nth), value, fields[key])
        for key, value in table.items()
    }


def table_kind(kind: Any) -> Section | None:
    """The struct of a setting that is a list of tables, None for any other."""
    match msgspec.inspect.type_info(kind):
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType(cls=struct)):
            return struct
    return None


def _no_such_section(name: str) -> str:
    """A setting is easily written before the first header: then its section is the better hint."""
    homes = [section for section, kind in SECTIONS.items() if name in _fields(kind)]
    if homes:
        return f"stands outside any section; put it under [{'] or ['.join(homes)}]"
    return f"there is no such section{_hint(name, [*SECTIONS, 'rule'])}"


def _from_environment(environ: Mapping[str, str]) -> Iterable[tuple[str, str, Any]]:
    """(section, key, value) of each variable that is a setting; any other with our prefix is an error."""
    known = {
        variable(section, key): (section, key, kind)
        for section, settings in SECTIONS.items()
        for key, kind in _fields(settings).items()
    }
    for name, text in environ.items():
        if name in known:
            section, key, kind = known[name]
            yield section, key, _convert(_in_environment(name), text, kind, as_text=True)
        elif name.startswith(f"{_PREFIX}RULE"):
            raise ConfigError(f"{_in_environment(name)}: rules can only be set in the file, each as a [[rule]]")
        elif name.startswith(_PREFIX):
            raise ConfigError(f"{_in_environment(name)}: there is no such setting{_hint(name, known)}")


def _in_environment(name: str) -> str:
    return f"{name} (in the environment)"


def _convert(where: str, given: Any, kind: Any, *, as_text: bool = False) -> Any:
    """`given` as the setting's type; `as_text`: it is a variable's text, a list being written as JSON."""
    as_json = as_text and get_origin(get_args(kind)[0]) is tuple
    try:
        value = json.loads(given) if as_json else given
        return msgspec.convert(value, kind, strict=not as_text, dec_hook=decode)
    except (msgspec.ValidationError, json.JSONDecodeError):
        shown = "a value (not shown)" if get_args(kind)[0] is ApiKey else _show(given)
        form = ", as JSON" if as_json else ""
        raise ConfigError(f"{where}: given {shown}, expected {expected(kind)}{form}") from None


def _fields(section: Section) -> dict[str, Any]:
    """key → its type, which is Annotated with the description."""
    return {field.name: field.type for field in msgspec.structs.fields(section)}


def _show(given: object) -> str:
    text = json.dumps(given, default=str, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else '; "camiohookd example-config" lists them all'


def _check_together(config: Config, path: Path) -> None:
    """What no setting can tell by itself."""
    if config.callback.retry_min > config.callback.retry_max:
        raise ConfigError(f"{path}: callback.retry_min is longer than callback.retry_max")
    if config.hook.listen.port == config.admin.listen.port != 0:
        raise ConfigError(f"{path}: hook.listen and admin.listen have the same port; give each one of its own")
    if not is_loopback(config.admin.listen.host):
        raise ConfigError(
            f'{path}: admin.listen: given "{config.admin.listen}", expected an address of this machine alone, such as '
            f'"127.0.0.1:8001" or "[::1]:8001": the status pages are not for others to see'
        )
