"""Open a backup, check all of it, and tell what a restore would change: file ─▶ every byte checked ─▶ `RestorePlan`."""

import hashlib
import io
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from camiohookd.cli.backup import archive, cipher, contents
from camiohookd.cli.backup.contents import BoxFiles
from camiohookd.cli.backup.manifest import SETTINGS, BackupError, FileEntry, LeftOut, Manifest
from camiohookd.config import load
from camiohookd.config.toml_file import TomlFile
from camiohookd.errors import ConfigError
from camiohookd.labelers.library import MODEL_FILE
from camiohookd.queue import state_folder

_LARGEST_SETTINGS = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Backup:
    """The file of a backup, opened; `passphrase` is None if it is not encrypted."""

    path: Path
    file: IO[bytes]
    passphrase: str | None

    def read(self, accept: Callable[[Manifest], None], sink: Callable[[FileEntry], IO[bytes] | None]) -> Manifest:
        """Read and check all of it, see `archive.read`. Raises BackupError, which begins with the file's name."""
        try:
            self.file.seek(0)
            if self.passphrase is None:
                return archive.read(self.file, accept, sink)
            with cipher.decrypting(self.file, self.passphrase) as stream:
                return archive.read(stream, accept, sink)
        except BackupError as error:
            raise BackupError(f"{self.path}: {error}; nothing was changed") from None


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What a restore would do: files that are new here, that are replaced, that are the same, and that stay.

    `queue_files` counts those of the queue, which replace the queue as a whole. `missing` are files that the settings
    name, which are neither in the backup nor on this box; `models` are those that have to be added again.
    """

    manifest: Manifest
    new: tuple[FileEntry, ...]
    replaced: tuple[FileEntry, ...]
    same: tuple[FileEntry, ...]
    kept: tuple[str, ...]
    queue_files: int
    missing: tuple[str, ...]
    models: tuple[LeftOut, ...]


@contextmanager
def opened(path: Path, passphrase: Callable[[], str]) -> Iterator[Backup]:
    """Open a backup; `passphrase` is asked only if it is encrypted. Raises BackupError."""
    try:
        with path.open("rb") as file:
            encrypted = cipher.is_encrypted(file.read(len(cipher.MAGIC)))
            yield Backup(path, file, passphrase() if encrypted else None)
    except OSError as error:
        if error.filename != str(path):
            raise
        raise contents.unreadable(path, error) from None


def plan_restore(backup: Backup, box: BoxFiles) -> RestorePlan:
    """Check every byte of the backup and that this version can use its settings, and return what would change.

    Raises BackupError.
    """
    settings = _Settings(box)
    manifest = backup.read(_usable, settings.sink)
    settings.check(backup.path)
    new: list[FileEntry] = []
    replaced: list[FileEntry] = []
    same: list[FileEntry] = []
    for entry in manifest.files:
        if not entry.is_of_queue:
            present = _digest(box.path(entry.name))
            if present is None:
                new.append(entry)
            elif present == entry.sha256:
                same.append(entry)
            else:
                replaced.append(entry)
    names = {entry.name for entry in manifest.files}
    kept = [name for name in contents.find(box, queue=False, models=True) if name not in names]
    return RestorePlan(
        manifest,
        tuple(new),
        tuple(replaced),
        tuple(same),
        tuple(kept),
        sum(entry.is_of_queue for entry in manifest.files),
        tuple(file for file in manifest.elsewhere if not Path(file).exists()),
        tuple(model for model in manifest.models_left_out if not _has_model(box, model)),
    )


def _usable(manifest: Manifest) -> None:
    if manifest.queue and manifest.state_format > state_folder.FORMAT:
        raise BackupError(
            f"its queue has format {manifest.state_format}, and camiohookd here knows up to {state_folder.FORMAT}; "
            f"install version {manifest.version} or a newer one"
        )


class _Settings:
    """Keeps the settings file of a backup in memory, to try it before anything is written."""

    def __init__(self, box: BoxFiles) -> None:
        self._path = box.settings
        self._name = f"{SETTINGS}/{box.settings.name}"
        self._file: io.BytesIO | None = None

    def sink(self, entry: FileEntry) -> IO[bytes] | None:
        if entry.name != self._name or entry.size > _LARGEST_SETTINGS:
            return None
        self._file = io.BytesIO()
        return self._file

    def check(self, backup: Path) -> None:
        """Raises BackupError if there are no settings, or this version cannot read them."""
        if self._file is None:
            raise BackupError(f"{backup}: it holds no {self._path.name}; nothing was changed")
        try:
            text = self._file.getvalue().decode("utf-8-sig")
            load.settings_of(TomlFile(self._path, text, tomllib.loads(text)))
        except (ConfigError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise BackupError(
                f"{backup}: camiohookd here cannot read its settings: {error}; nothing was changed. Install the "
                "version that made the backup, or a newer one"
            ) from None


def _has_model(box: BoxFiles, model: LeftOut) -> bool:
    return _digest(box.state / "models" / model.name / MODEL_FILE) == model.sha256


def _digest(path: Path) -> str | None:
    """Return the SHA-256 of a file in hexadecimal, None if there is no such file. Raises BackupError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise contents.unreadable(path, error) from None
