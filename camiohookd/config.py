"""The configuration as it was given: the TOML file, then the environment on top → `Config`, frozen and checked.

Read once, at the edge; an error names the file and line (or the variable), the key, what was given and what is
expected, and never shows the key's value.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_origin

import msgspec

from camiohookd.errors import ConfigError
from camiohookd.settings import KEY_ADVICE, Admin, Callback, Hook, Images, Labeler, Log, Queue, Rule
from camiohookd.values import Secret, decode, expected

DEFAULT_PATH = Path("/etc/camiohookd/camiohookd.toml")
DEFAULT_STATE_DIR = Path("/var/lib/camiohookd")

_PREFIX = "CAMIOHOOKD_"
_KEY = re.compile(r"[A-Za-z0-9._~-]{8,256}", re.ASCII)
_KEY_RULE = "a key is 8 to 256 letters, digits or -._~"
_SHOWN = 80
_HEADER = re.compile(r"\s*\[+\s*([\w-]+)\s*\]")


class Config(msgspec.Struct, frozen=True):
    """All settings; `rule` in the order of the file."""

    hook: Hook = Hook()
    queue: Queue = Queue()
    labeler: Labeler = Labeler()
    images: Images = Images()
    callback: Callback = Callback()
    admin: Admin = Admin()
    log: Log = Log()
    rule: tuple[Rule, ...] = ()


Section = type[msgspec.Struct]

SECTIONS: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Config) if field.name != "rule"}


def variable(section: str, key: str) -> str:
    """The environment variable of a setting, e.g. ``CAMIOHOOKD_HOOK_LISTEN``."""
    return f"{_PREFIX}{section}_{key}".upper()


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The settings of the file `path` and of `environ`, which wins; ConfigError if either is wrong.

    Without a path the default file is read if it is there. Looks at nothing else: the key may still be missing,
    see `require_api_keys`.
    """
    document = _read(path or DEFAULT_PATH, required=path is not None)
    given = {section: document.section(section, kind) for section, kind in SECTIONS.items()}
    for section, key, value in _from_environment(environ):
        given[section][key] = value
    config = Config(**{section: kind(**given[section]) for section, kind in SECTIONS.items()}, rule=document.rules())
    _check_together(config, path or DEFAULT_PATH)
    return config


def require_api_keys(config: Config) -> dict[str, str]:
    """The keys that Camio may use, by the name that the log gives them; ConfigError if there is none or a bad one."""
    keys: dict[str, str] = {}
    if config.hook.api_key:
        if not _KEY.fullmatch(config.hook.api_key):
            raise ConfigError(f"hook.api_key is not usable: {_KEY_RULE}; {KEY_ADVICE}")
        keys["default"] = str(config.hook.api_key)
    if config.hook.api_keys_file:
        _read_keys(Path(config.hook.api_keys_file), keys)
    if not keys:
        raise ConfigError(
            f"hook.api_key is not set, so nobody could post an event: {KEY_ADVICE} and write it as api_key under "
            f"[hook] in {DEFAULT_PATH}, or set {variable('hook', 'api_key')}"
        )
    return keys


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where the queue lives: systemd's StateDirectory, or the place that it would have."""
    return Path(environ.get("STATE_DIRECTORY") or DEFAULT_STATE_DIR)


def runtime_dir(environ: Mapping[str, str]) -> Path:
    """Where the control socket lives: systemd's RuntimeDirectory, or the state folder."""
    return Path(environ.get("RUNTIME_DIRECTORY") or state_dir(environ))


class _Document(NamedTuple):
    """A TOML file: its tables, and its text to tell the line of a key."""

    path: Path
    text: str
    tables: dict[str, Any]

    def section(self, name: str, kind: Section) -> dict[str, Any]:
        """The checked settings of the table `name`."""
        return self._checked(name, kind, self.tables.get(name, {}), 0)

    def rules(self) -> tuple[Rule, ...]:
        tables = self.tables.get("rule", [])
        if not isinstance(tables, list):
            raise ConfigError(f"{self.where('rule')}: expected a list of tables, written [[rule]]")
        return tuple(Rule(**self._checked("rule", Rule, table, nth)) for nth, table in enumerate(tables))

    def _checked(self, name: str, kind: Section, table: object, nth: int) -> dict[str, Any]:
        if not isinstance(table, dict):
            written = "[[rule]]" if kind is Rule else f"[{name}]"
            raise ConfigError(f"{self.where(name)}: expected a table, written {written}")
        fields = _fields(kind)
        for key in table:
            if key not in fields:
                where = self.where(name, key, nth)
                raise ConfigError(f"{where}: there is no such setting{_hint(key, fields)}")
        return {key: _convert(self.where(name, key, nth), value, fields[key]) for key, value in table.items()}

    def where(self, section: str, key: str = "", nth: int = 0) -> str:
        line = _line_of(self.text, section, key, nth)
        place = f"{self.path}, line {line}" if line else str(self.path)
        return f"{place}: {section}.{key}" if key else f"{place}: {section}"


def _read(path: Path, *, required: bool) -> _Document:
    try:
        text = path.read_bytes().decode()
        document = _Document(path, text, tomllib.loads(text))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: there is no such file") from None
        return _Document(path, "", {})
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    for name in document.tables:
        if name not in SECTIONS and name != "rule":
            raise ConfigError(f"{document.where(name)}: {_no_such_section(name)}")
    return document


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
            yield section, key, _convert(f"{name} (in the environment)", text, kind, as_text=True)
        elif name.startswith(_PREFIX):
            raise ConfigError(f"{name} (in the environment): there is no such setting{_hint(name, known)}")


def _convert(where: str, given: Any, kind: Any, *, as_text: bool = False) -> Any:
    """`given` as the setting's type; `as_text`: it is a variable's text, a list being written as JSON."""
    as_json = as_text and get_origin(get_args(kind)[0]) is tuple
    try:
        value = json.loads(given) if as_json else given
        return msgspec.convert(value, kind, strict=not as_text, dec_hook=decode)
    except (msgspec.ValidationError, json.JSONDecodeError):
        shown = "a value (not shown)" if get_args(kind)[0] is Secret else _show(given)
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


def _line_of(text: str, section: str, key: str, nth: int) -> int:
    """The line, from 1, of `key` (or the header) in the `nth` table `section`, 0 if it is written some other way."""
    tables = -1
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            inside = header[1] == section
            tables += inside
            if inside and not key:
                return number
        elif inside and tables == nth and re.match(rf"\s*{re.escape(key)}\s*=", line):
            return number
    return 0


def _check_together(config: Config, path: Path) -> None:
    """What no setting can tell by itself."""
    if config.callback.retry_min > config.callback.retry_max:
        raise ConfigError(f"{path}: callback.retry_min is longer than callback.retry_max")
    if config.hook.listen == config.admin.listen and config.admin.listen.port:
        raise ConfigError(f"{path}: hook.listen and admin.listen are the same; give each a port of its own")


def _read_keys(path: Path, keys: dict[str, str]) -> None:
    """Adds the keys of the file `path` to `keys`."""
    setting = f"hook.api_keys_file: {path}"
    try:
        lines = path.read_bytes().decode().splitlines()
    except OSError as error:
        raise ConfigError(f"{setting}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: not UTF-8 text") from None
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise ConfigError(f"{setting}, line {number}: expected a name, a space and the key")
        name, key = words
        if not _KEY.fullmatch(key):
            raise ConfigError(f"{setting}, line {number}: the key is not usable: {_KEY_RULE}; {KEY_ADVICE}")
        if name in keys:
            raise ConfigError(f'{setting}, line {number}: there is another key of the name "{name}"')
        keys[name] = key
