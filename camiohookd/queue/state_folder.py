"""The state folder: its lock and its format.

::

    lock                     held by the one process that uses the folder
    format                   the number of the format
    queue.json               the snapshot, plain TinyDB JSON
    queue.journal-00000007   later changes
    segments/                the pictures of events that wait to be labeled, or failed
    replies/                 the labels of events that wait to be delivered, or failed
    quarantine/              damaged bytes
    before-format-3/         the queue before its migration, for the version before; see `before_migration`
    history/                 the history of the status page: not part of the queue
    taught/                  the labels that the owner taught: not part of the queue
    graphs/                  the model's cache: not part of the queue, and made again if it is missing

docs/internals/on-disk-format.md describes every file. Format 1 was one `queue.json` as TinyDB's own JSONStorage writes
it, without checksums, journal or format file. Format 2, of version 0.1.0, kept the labels in the documents. Format 3 is
today's.
"""

import fcntl
import json
import logging
import os
from contextlib import suppress
from pathlib import Path

from camiohookd.errors import StateFolderBusy, StateFolderError, StateFolderInUse
from camiohookd.queue import before_migration
from camiohookd.queue.task import Task
from camiohookd.storage import journal, snapshot
from camiohookd.storage.documents import Documents
from camiohookd.system import permissions
from camiohookd.system.disk import Disk, replace_file
from camiohookd.system.log_fields import about
from camiohookd.units import plural

FORMAT = 3
_BRIEFLY = "briefly"

log = logging.getLogger("camiohookd.queue")


class StateFolder:
    """A locked state folder. Its format file has today's format from now on, even if documents are still older.

    `briefly` means that it is locked for one command, so that a daemon tries again.

    Raises StateFolderInUse if a daemon uses it, StateFolderBusy if a command uses it, StateFolderError if it cannot be
    used or its format is newer, and OSError if the disk fails.
    """

    def __init__(self, path: Path, disk: Disk, *, briefly: bool = False) -> None:
        self.path = path
        self._disk = disk
        try:
            self._make()
            self._lock = _lock(path / "lock", briefly)
        except (PermissionError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            advice = "it must exist and belong to the user that runs camiohookd"
            if isinstance(error, PermissionError) and permissions.sudo_helps():
                advice = permissions.SUDO
            raise StateFolderError(
                f"the state folder {path} cannot be used: {error.strerror}; {advice}, or the environment variable "
                "STATE_DIRECTORY must name another folder"
            ) from error
        try:
            self._bring_to_format()
        except BaseException:
            self.close()
            raise

    @property
    def snapshot(self) -> Path:
        return self.path / "queue.json"

    def close(self) -> None:
        os.close(self._lock)

    def _make(self) -> None:
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True)
            self._disk.sync_folder(self.path.parent)

    def _bring_to_format(self) -> None:
        found = self._read_format()
        if found > FORMAT:
            raise StateFolderError(
                f"the state folder {self.path} has format {found}, written by a newer camiohookd; this one knows up "
                f"to format {FORMAT}. Install that newer version again"
            )
        if found == FORMAT:
            before_migration.forget_old(self.path)
        elif found:
            before_migration.keep(self.path, found, FORMAT)
        if found == 1:
            self._migrate_from_1()
        if found != FORMAT:
            replace_file(self._disk, self.path / "format", b"%d\n" % FORMAT)

    def _read_format(self) -> int:
        """Return the number of the format, 0 for an empty folder."""
        file = self.path / "format"
        if not file.exists():
            if journal.numbers(self.path):
                return FORMAT  # format 1 had no journals: only the format file was lost
            return 1 if self.snapshot.exists() else 0
        text = file.read_text(errors="replace").strip()
        if not text.isdigit():
            raise StateFolderError(f"{file} should hold the number of the format, {FORMAT}, and holds {text[:20]!r}")
        return int(text)

    def _migrate_from_1(self) -> None:
        if snapshot.is_whole(self._disk, self.snapshot):
            return  # a migration was interrupted before its last step
        try:
            # TinyDB leaves an empty file until something is inserted.
            tables = json.loads(self.snapshot.read_bytes() or b"{}")
            documents = {str(int(key)): dict(document) for key, document in tables.get("_default", {}).items()}
            for key, document in documents.items():
                Task.from_document(key, {**document, "reply": None})  # the replies are moved when the queue is opened
        except (ValueError, TypeError, AttributeError) as error:
            raise StateFolderError(
                f"{self.snapshot} has no format file beside it and is not plain TinyDB JSON, format 1: {error}"
            ) from error
        snapshot.write_all(self._disk, self.snapshot, Documents(documents))
        log.warning(
            "migrated %s with %s from format 1 to %d",
            self.snapshot,
            plural(len(documents), "task"),
            FORMAT,
            extra=about("queue_migrated"),
        )


def _lock(path: Path, briefly: bool) -> int:
    """Take the lock (flock(2)). Write the process ID to the file, and "briefly" if it is a command."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process, _, how_long = os.read(fd, 30).decode(errors="replace").strip().partition(" ")
        os.close(fd)
        if how_long == _BRIEFLY:
            raise StateFolderBusy(
                f"the state folder {path.parent} is in use by a command (process {process}), such as camiohookd queue "
                "list in another terminal: try again when that has ended"
            ) from None
        raise StateFolderInUse(
            f"the state folder {path.parent} is in use by another camiohookd (process {process or 'unknown'}): "
            "stop that one first (systemctl stop camiohookd), or name another folder with STATE_DIRECTORY"
        ) from None
    with suppress(OSError):  # the lock also works without the text, for which a full disk has no room
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {_BRIEFLY if briefly else ''}".strip().encode() + b"\n", 0)
    return fd
