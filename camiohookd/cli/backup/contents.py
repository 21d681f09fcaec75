"""Which files a backup holds: the folder of the settings, the owner's models and taught labels, and if asked the queue.

Only ordinary files are taken: no links, sockets or devices. Caches are left out; the service makes them again, for the
processor of the box that it runs on.
"""

import grp
import hashlib
import os
import pwd
import stat
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from camiohookd.cli.backup.manifest import OWNER_FOLDERS, SETTINGS, STATE, BackupError, FileEntry, LeftOut, is_of_queue
from camiohookd.config.paths import ROLLED_BACK
from camiohookd.labelers.library import MODEL_FILE
from camiohookd.system import permissions

STAGING_PREFIX = ".restore-"
"""The beginning of the names of the folders into which a restore unpacks."""

_PACKAGE = Path("/usr")


@dataclass(frozen=True, slots=True)
class BoxFiles:
    """The settings file and the state folder of a box."""

    settings: Path
    state: Path

    def path(self, name: str) -> Path:
        """Return where the file `name` of a manifest is on this box."""
        place, _, rest = name.partition("/")
        return (self.settings.parent if place == SETTINGS else self.state) / rest


def find(box: BoxFiles, *, queue: bool, models: bool) -> Iterator[str]:
    """Yield the names of the files to save, in order; without the `models`' own files if only hashes are wanted.

    Raises BackupError if a folder cannot be read.
    """
    yield from _settings(box)
    for top in sorted(_names(box.state)):
        if top in OWNER_FOLDERS or (queue and is_of_queue(top)):
            for path in _files(box.state / top):
                if models or top != "models" or path.name != MODEL_FILE:
                    yield _state_name(box, path)


def models_left_out(box: BoxFiles) -> tuple[LeftOut, ...]:
    """Return the owner's models with their hashes, for a backup that does not hold them."""
    files = [path for path in _files(box.state / "models") if path.name == MODEL_FILE]
    return tuple(LeftOut(file.parent.name, entry_of(box, _state_name(box, file)).sha256) for file in files)


def elsewhere(box: BoxFiles) -> tuple[str, ...]:
    """Return the files that the settings name outside of the two folders, and outside of the package."""
    try:
        tables = tomllib.loads(box.settings.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return ()  # `check` tells what is wrong with them; a backup saves them as they are
    inside = (box.settings.parent.resolve(), box.state.resolve(), _PACKAGE)
    named = {Path(value) for value in _texts(tables) if value.startswith("/") and "\0" not in value}
    return tuple(sorted(str(path) for path in named if path.is_file() and not _is_in(path.resolve(), inside)))


def entry_of(box: BoxFiles, name: str) -> FileEntry:
    """Read the file `name` and return its entry. Raises BackupError."""
    with opened(box, name) as file:
        facts = os.fstat(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    mode = stat.S_IMODE(facts.st_mode) & 0o777
    return FileEntry(name, size, digest, mode, _user(facts.st_uid), _group(facts.st_gid))


@contextmanager
def opened(box: BoxFiles, name: str) -> Iterator[BufferedReader]:
    """Open the file `name`, which must be an ordinary one. Raises BackupError."""
    path = box.path(name)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            yield file
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> BackupError:
    """Return the error for a file or folder that cannot be read."""
    return BackupError(f"{path}: cannot be read: {permissions.reason(error, path)}")


@contextmanager
def as_owner_of(folder: Path) -> Iterator[None]:
    """Act as the owner of `folder` in the block if this process is root's: then the service can use what is made there,
    and a link that the service's user made leads root to no other place.
    """
    owner = folder.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)


def _settings(box: BoxFiles) -> Iterator[str]:
    folder, state = box.settings.parent, box.state.resolve()
    together = folder.resolve() == state  # as docs/install.md runs it from a checkout: then only files of no folder
    for path in _files(folder):
        relative = path.relative_to(folder)
        mixed = together and (len(relative.parts) > 1 or _is_states_own(relative.name))
        if not mixed and (together or not path.resolve().is_relative_to(state)):
            yield f"{SETTINGS}/{relative}"


def _is_states_own(name: str) -> bool:
    return is_of_queue(name) or name in {"lock", "restarts"}


def _state_name(box: BoxFiles, path: Path) -> str:
    return f"{STATE}/{path.relative_to(box.state)}"


def _files(top: Path) -> Iterator[Path]:
    """Yield the ordinary files at and below `top`, in order."""
    if top.is_symlink():
        return
    if top.is_file():
        yield top
        return
    for name in sorted(_names(top)):
        path = top / name
        if path.is_symlink() or name.startswith(STAGING_PREFIX) or name == ROLLED_BACK:
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from None


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in TOML tables."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _user(number: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return ""


def _group(number: int) -> str:
    with suppress(KeyError):
        return grp.getgrgid(number).gr_name
    return ""


def _is_in(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)
