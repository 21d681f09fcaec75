"""The file of the owner's keys: a line each, a name for the log, a space, the key; ``#`` begins a comment.

The file → `read` → the keys by name. `add` and `retire` put a new file in its place, whole or not at all, with the
owner and the mode of the old one, and never readable by all.
"""

import grp
import math
import os
import re
import secrets
import string
import tempfile
from contextlib import suppress
from pathlib import Path

from camiohookd.config.settings import KEY_ADVICE
from camiohookd.config.values import ApiKey
from camiohookd.errors import CamiohookdError, ConfigError
from camiohookd.system import permissions
from camiohookd.system.permissions import remedy

FILE_NAME = "api-keys"
WEAK = "it is short, or of few different letters; camiohookd key new makes a good one"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_KEY_BYTES = 24
_STRONG_BITS = 128
_FEWEST_LETTERS = 9  # of 32 hexadecimal ones, drawn by lot, fewer are different in 3 cases of a million
_ALPHABETS = (string.digits, "0123456789abcdef", "0123456789ABCDEF")
_KINDS = (string.digits, string.ascii_lowercase, string.ascii_uppercase, "-._~")
_MODE = 0o640


def read(path: Path, place: str = "") -> dict[str, str]:
    """The keys of the file by name; ConfigError, which begins with `place`, where the file was named, if it is bad."""
    where = f"{place}: {path}" if place else str(path)
    keys: dict[str, str] = {}
    for number, line in enumerate(_text(path, where).splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            raise ConfigError(f"{where}, line {number}: expected a name, a space and the key")
        name, key = words
        if is_weak(key) and not is_weak(name):  # names are shown and logged, which a key must not be
            raise ConfigError(f"{where}, line {number}: the name looks like a key; write the name first, then the key")
        if name in keys:
            raise ConfigError(f'{where}, line {number}: there is another key of the name "{name}"')
        try:
            keys[name] = str(ApiKey(key))
        except ValueError:
            advice = f"the key is not usable, expected {ApiKey.expected}; {KEY_ADVICE}"
            raise ConfigError(f"{where}, line {number}: {advice}") from None
    return keys


def add(path: Path, name: str) -> str:
    """Make a key of 192 bits, add it to the file under `name` and return it; the file is made if it is not there.

    Raises CamiohookdError.
    """
    if not _NAME.fullmatch(name):
        raise CamiohookdError(f'"{name}" is no name for a key: expected 1 to 64 letters, digits or -._')
    there = path.exists()
    if there and name in read(path):
        raise CamiohookdError(
            f'{path}: there is a key of the name "{name}" already; choose another, or retire it first'
        )
    before = _text(path, str(path)) if there else ""
    key = secrets.token_hex(_KEY_BYTES)
    gap = "" if not before or before.endswith("\n") else "\n"
    _replace(path, f"{before}{gap}{name} {key}\n")
    return key


def retire(path: Path, name: str, *, may_be_last: bool) -> None:
    """Take the key of that name out of the file; the last one only where it `may_be_last`. Raises CamiohookdError."""
    keys = read(path)
    if name not in keys:
        known = f"there are: {', '.join(keys)}" if keys else "it holds none"
        raise CamiohookdError(f'{path}: there is no key of the name "{name}"; {known}')
    if len(keys) == 1 and not may_be_last:
        raise CamiohookdError(
            f'{path}: "{name}" is the last key, and without one the daemon does not start; make another first'
        )
    lines = _text(path, str(path)).splitlines(keepends=True)
    _replace(path, "".join(line for line in lines if line.partition("#")[0].split()[:1] != [name]))


def is_weak(key: str) -> bool:
    """Whether a key has fewer than 128 bits, had its letters been drawn by lot, or was clearly not drawn so."""
    letters = set(key)
    return len(letters) < _FEWEST_LETTERS or len(key) * math.log2(_alphabet(letters)) < _STRONG_BITS


def _alphabet(letters: set[str]) -> int:
    """How many letters those were probably drawn from."""
    for alphabet in _ALPHABETS:
        if letters <= set(alphabet):
            return len(alphabet)
    return sum(len(kind) for kind in _KINDS if letters & set(kind))


def _text(path: Path, where: str) -> str:
    try:
        return path.read_bytes().decode()
    except OSError as error:
        advice = remedy(path) if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{where}: cannot be read: {error.strerror}{advice}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: not UTF-8 text") from None


def _replace(path: Path, text: str) -> None:
    try:
        _write_beside_and_rename(path.resolve(), text.encode())
    except OSError as error:
        advice = remedy(path) if isinstance(error, PermissionError) else ""
        raise CamiohookdError(f"{path}: cannot be written: {error.strerror}{advice}") from None


def _write_beside_and_rename(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=path.parent, delete=False) as file:
        temporary = Path(file.name)
        try:
            _take_over_owner_and_mode(path, file.fileno())
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _take_over_owner_and_mode(path: Path, descriptor: int) -> None:
    """Of the file that is replaced. One that root's group has, and a first one, the service's group is let read."""
    old = path.stat() if path.exists() else None
    if old is not None and (old.st_uid, old.st_gid) != (0, 0):
        os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & _MODE)
        return
    os.fchmod(descriptor, _MODE)
    with suppress(KeyError, PermissionError):  # not installed as a service, or made by hand by some user
        os.fchown(descriptor, -1, grp.getgrnam(permissions.SERVICE_USER).gr_gid)
