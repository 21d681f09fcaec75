"""Put the files of a backup in their places: unpacked beside the old ones and checked, then renamed one by one.

A restore that is interrupted is repeated: each file is the old one or the new one, never a part.
"""

import os
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import IO

from camiohookd.cli.backup import contents
from camiohookd.cli.backup.contents import STAGING_PREFIX, BoxFiles
from camiohookd.cli.backup.manifest import SETTINGS, STATE, BackupError, FileEntry, Manifest, is_of_queue
from camiohookd.cli.backup.restoring import Backup, RestorePlan
from camiohookd.cli.backup.saving import locked
from camiohookd.queue.task import State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system import permissions
from camiohookd.system.disk import Disk
from camiohookd.units import plural, size

_KNOWN_OWNERS = {"root", "camiohookd", "camiohookd-tunnel"}


def restore(backup: Backup, plan: RestorePlan, box: BoxFiles, *, replace_queue: bool) -> None:
    """Put every file of the backup in its place, after `plan` was shown to the owner.

    If it holds a queue, that replaces the one of this box. Without `replace_queue` this is refused while events wait
    here. Raises BackupError, and StateFolderError if the queue is in use; then nothing has changed.
    """
    try:
        with ExitStack() as held:
            if plan.manifest.queue:
                if not replace_queue:
                    _must_be_idle(box.state)
                held.enter_context(locked(box.state))
            staging = _Staging(box, held)
            backup.read(lambda listed: _must_fit(listed, plan.manifest, box), staging.sink)
            staging.close_last()
            if plan.manifest.queue:
                _delete_queue(box.state)
            for entry in plan.manifest.files:
                staging.put(entry)
            _sync(box, plan.manifest)
    except OSError as error:
        place = error.filename or box.state
        raise BackupError(f"{place}: {permissions.reason(error, place)}; run the restore again") from None


def _must_fit(listed: Manifest, planned: Manifest, box: BoxFiles) -> None:
    if listed != planned:
        raise BackupError("the file was changed meanwhile")
    free = Disk().free_bytes(box.state)
    if listed.size > free:
        raise BackupError(f"there is not enough room: it needs {size(listed.size)}, and {box.state} has {size(free)}")


class _Staging:
    """Two hidden folders, beside the settings and in the state folder, that are deleted at the end."""

    def __init__(self, box: BoxFiles, held: ExitStack) -> None:
        self._box = box
        self._folders: dict[str, Path] = {}
        self._open: IO[bytes] | None = None
        for place, folder in ((SETTINGS, box.settings.parent), (STATE, box.state)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contents.as_owner_of(folder):
                for left in folder.glob(f"{STAGING_PREFIX}*"):  # by a restore that was interrupted
                    shutil.rmtree(left)
                self._folders[place] = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=folder))
            held.callback(self._delete, place, folder)

    def sink(self, entry: FileEntry) -> IO[bytes]:
        self.close_last()
        with self._as_owner(entry):
            path = self._path(entry)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._open = path.open("xb")
        return self._open

    def close_last(self) -> None:
        """Put what was unpacked last on stable storage."""
        if self._open is not None:
            self._open.flush()
            os.fsync(self._open.fileno())
            self._open.close()
            self._open = None

    def put(self, entry: FileEntry) -> None:
        """Replace the file on the box."""
        with self._as_owner(entry):
            source, target = self._path(entry), self._box.path(entry.name)
            _make_folders(target.parent)
            source.chmod(entry.mode)
            if entry.name.startswith(f"{SETTINGS}/"):
                _set_owner(source, entry)
            source.replace(target)

    def _path(self, entry: FileEntry) -> Path:
        return self._folders[entry.name.partition("/")[0]] / entry.name

    def _as_owner(self, entry: FileEntry) -> AbstractContextManager[None]:
        return contents.as_owner_of(self._box.path(f"{entry.name.partition('/')[0]}/"))

    def _delete(self, place: str, folder: Path) -> None:
        if self._open is not None:
            self._open.close()
        with contents.as_owner_of(folder):
            shutil.rmtree(self._folders[place], ignore_errors=True)


def _make_folders(folder: Path) -> None:
    """Make a folder that is missing; everyone may read it, as its files' own modes allow."""
    if not folder.is_dir():
        _make_folders(folder.parent)
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)


def _set_owner(path: Path, entry: FileEntry) -> None:
    """Give a file of the settings to the owner that it had, if this box has that user and it is one of ours."""
    if os.geteuid() != 0:
        return
    for name, option in ((entry.owner, "user"), (entry.group, "group")):
        if name in _KNOWN_OWNERS:
            with suppress(LookupError):
                shutil.chown(path, **{option: name})


def _must_be_idle(state: Path) -> None:
    """Raises BackupError if the queue of this box holds events that wait or failed."""
    if not (state / "format").exists() and not (state / "queue.json").exists():
        return
    with contents.as_owner_of(state):
        queue = TaskQueue(state, backoff=lambda _: 0.0, briefly=True)
        try:
            waiting, failed = queue.tasks.waiting_count, queue.tasks.counts[State.FAILED]
        finally:
            queue.close()
    if waiting or failed:
        raise BackupError(
            f"the queue in {state} holds {plural(waiting, 'event')} that wait and {failed} that failed, and the queue "
            "of the backup would replace them; let them be delivered first (sudo systemctl start camiohookd), or add "
            "--replace-queue. Nothing was changed"
        )


def _delete_queue(state: Path) -> None:
    with contents.as_owner_of(state):
        for path in sorted(state.iterdir(), reverse=True):
            if is_of_queue(path.name):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sync(box: BoxFiles, manifest: Manifest) -> None:
    for folder in sorted({box.path(entry.name).parent for entry in manifest.files}):
        Disk().sync_folder(folder)
