"""The file of API keys: on each line a name for the log, a space and the key; ``#`` begins a comment.

The file ─▶ `read` ─▶ the keys by name. `add` and `retire` replace the file as a whole (see `owner_file`).
"""

import re
import secrets
from pathlib import Path

from camiohookd.config import owner_file
from camiohookd.config.key_strength import is_weak
from camiohookd.config.settings import KEY_ADVICE
from camiohookd.config.values import ApiKey
from camiohookd.errors import CamiohookdError, ConfigError
from camiohookd.system import permissions

FILE_NAME = "api-keys"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_KEY_BYTES = 24


def read(path: Path, place: str = "") -> dict[str, str]:
    """Return the keys of the file by name. Raises ConfigError, which begins with `place`, where the file was named."""
    where = f"{place}: {path}" if place else str(path)
    keys: dict[str, str] = {}
    defined: dict[str, int] = {}
    for number, line in enumerate(_text(path, where).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise ConfigError(f"{where}, line {number}: expected a name, a space and the key")
        name, key = words
        if is_weak(key) and not is_weak(name):  # names are shown and logged, and a key must not be
            raise ConfigError(f"{where}, line {number}: the name looks like a key; write the name first, then the key")
        if name in keys:
            raise ConfigError(
                f'{where}, line {number}: duplicate key name "{name}" (first defined in line {defined[name]})'
            )
        try:
            keys[name] = str(ApiKey(key))
        except ValueError:
            advice = f"the key is not usable, expected {ApiKey.expected}; {KEY_ADVICE}"
            raise ConfigError(f"{where}, line {number}: {advice}") from None
        defined[name] = number
    return keys


def add(path: Path, name: str) -> str:
    """Make a random key of 192 bits, add it to the file under `name`, and return it. Creates the file if needed.

    Raises CamiohookdError.
    """
    if not _NAME.fullmatch(name):
        raise CamiohookdError(f'"{name}" cannot be the name of a key: expected 1 to 64 letters, digits or -._')
    exists = path.exists()
    if exists and name in read(path):
        raise CamiohookdError(
            f'{path}: there is already a key named "{name}"; choose another name, or retire that key first'
        )
    before = _text(path, str(path)) if exists else ""
    key = secrets.token_hex(_KEY_BYTES)
    gap = "" if not before or before.endswith("\n") else "\n"
    owner_file.replace(path, f"{before}{gap}{name} {key}\n")
    return key


def retire(path: Path, name: str, *, may_be_last: bool) -> None:
    """Remove the key of that name from the file; the last one only if it `may_be_last`. Raises CamiohookdError."""
    keys = read(path)
    if name not in keys:
        known = f"the keys are: {', '.join(keys)}" if keys else "the file has no key"
        raise CamiohookdError(f'{path}: there is no key named "{name}"; {known}')
    if len(keys) == 1 and not may_be_last:
        raise CamiohookdError(
            f'{path}: "{name}" is the last key, and the daemon does not start without a key; make another one first'
        )
    lines = _text(path, str(path)).splitlines(keepends=True)
    owner_file.replace(path, "".join(line for line in lines if line.partition("#")[0].split()[:1] != [name]))


def _text(path: Path, where: str) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{where}: cannot be read: {permissions.reason(error, path)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: not UTF-8 text; save the file as UTF-8") from None
