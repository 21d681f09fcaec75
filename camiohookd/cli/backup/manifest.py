"""The manifest of a backup: the first member of its tar, which lists every other one with its size and checksum.

Names are ``settings/...`` (the folder of the settings file) and ``state/...`` (the state folder). Reading a manifest
refuses every name that does not belong there, so that nothing that is listed can be written to another place.
"""

import fnmatch
import re
from pathlib import PurePosixPath
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from camiohookd.errors import CamiohookdError

FORMAT = 1
MANIFEST = "manifest.json"
MAX_BYTES = 16 * 1024 * 1024
"""Most bytes of a manifest: about 50,000 files."""

SETTINGS, STATE = "settings", "state"
OWNER_FOLDERS = ("models", "taught")
"""Folders of the state folder that hold the owner's own work."""
QUEUE = ("format", "queue.json", "queue.journal-*", "segments", "replies", "history")
"""Files and folders of the state folder that hold the queue, and the history of the status page."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class BackupError(CamiohookdError):
    """A backup cannot be made, read or restored."""


class FileEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """One file: `mode` has permission bits only; `owner` and `group` are names, "" if the box had none."""

    name: str
    size: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    mode: Annotated[int, Meta(ge=0, le=0o777)]
    owner: str = ""
    group: str = ""

    @property
    def is_of_queue(self) -> bool:
        """Return whether the file belongs to the queue or the history."""
        return self.name.startswith(f"{STATE}/") and is_of_queue(self.name.split("/")[1])


class LeftOut(Struct, frozen=True, forbid_unknown_fields=True):
    """A model of which only the hash is in the backup."""

    name: str
    sha256: str


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds. `files` are in the order of the tar; `made` is ISO 8601 in UTC by the box's clock.

    `elsewhere` are files that the settings name outside of the two folders: they are not in the backup.
    """

    format: int
    version: str
    made: str
    state_format: int
    queue: bool
    files: tuple[FileEntry, ...]
    models_left_out: tuple[LeftOut, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(entry.size for entry in self.files)


def encode(manifest: Manifest) -> bytes:
    """Return the manifest as JSON. Raises BackupError if it is larger than `decode` accepts."""
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    if len(data) > MAX_BYTES:
        raise BackupError(f"there are too many files for one backup ({len(manifest.files)}); leave the queue out")
    return data


def decode(data: bytes) -> Manifest:
    """Return the manifest in `data`. Raises BackupError if it is not one.

    That is also the case if its format is newer, or if it names files outside of the folders of a backup.
    """
    try:
        found = msgspec.json.decode(data, type=_Format).format
        if found > FORMAT:
            raise BackupError(
                f"the backup has format {found}, made by a newer camiohookd; this one knows up to format {FORMAT}. "
                "Install the version that made it, or a newer one"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BackupError(f"its {MANIFEST} is damaged: {error}") from None
    _check_names(manifest)
    return manifest


class _Format(Struct):
    format: int


def is_of_queue(top: str) -> bool:
    """Return whether `top`, a name in the state folder, belongs to the queue or the history."""
    return any(fnmatch.fnmatchcase(top, pattern) for pattern in QUEUE)


def _check_names(manifest: Manifest) -> None:
    seen: set[str] = set()
    folders: set[str] = set()
    for entry in manifest.files:
        if not _belongs(entry.name, queue=manifest.queue):
            raise BackupError(f"it names a file that no backup holds: {entry.name!r}")
        if entry.name in seen:
            raise BackupError(f"it names a file twice: {entry.name!r}")
        seen.add(entry.name)
        folders.update(str(parent) for parent in PurePosixPath(entry.name).parents)
    if both := seen & folders:
        raise BackupError(f"its manifest names one path as a file and as a folder: {both.pop()!r}")


def _belongs(name: str, *, queue: bool) -> bool:
    parts = name.split("/")
    if len(parts) < 2 or _CONTROL.search(name) or any(part in {"", ".", ".."} for part in parts):
        return False
    if parts[0] == SETTINGS:
        return True
    own = parts[1] in OWNER_FOLDERS and len(parts) > 2
    return parts[0] == STATE and (own or (queue and is_of_queue(parts[1])))
