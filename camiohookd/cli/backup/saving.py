"""Make a backup: the manifest of what is there ─▶ tar ─▶ cipher ─▶ a new file, which appears complete or not at all."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from camiohookd.cli.backup import archive, cipher, contents
from camiohookd.cli.backup.contents import BoxFiles
from camiohookd.cli.backup.manifest import FORMAT, BackupError, Manifest
from camiohookd.queue import state_folder
from camiohookd.queue.state_folder import StateFolder
from camiohookd.system import permissions
from camiohookd.system.clock import iso
from camiohookd.system.disk import Disk, new_file


def save(target: Path, box: BoxFiles, *, queue: bool, models: bool, passphrase: str | None) -> Manifest:
    """Write the backup of `box` to the file `target`, readable by its owner only, and return its manifest.

    With `queue`, the queue and the history are in it: then no daemon may use the state folder. Without `models`, only
    the hashes of the owner's models are in it. A file that is not a backup is not replaced. Raises BackupError, and
    StateFolderError if the queue is in use.
    """
    try:
        if target.exists() and not archive.may_be_backup(target):
            raise BackupError(f"{target}: exists and is not a backup, so it is not replaced; give another name")
        with ExitStack() as held:
            if queue:
                held.enter_context(locked(box.state))
            listed = _list(box, queue=queue, models=models)
            file = held.enter_context(new_file(target))
            stream = held.enter_context(cipher.encrypting(file, passphrase) if passphrase else nullcontext(file))
            archive.write(stream, listed, box)
    except OSError as error:
        raise BackupError(f"{target}: cannot be written: {permissions.reason(error, target)}") from None
    return listed


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Keep every daemon away from the queue in the block. Raises StateFolderError."""
    if not state.is_dir():
        yield
        return
    with contents.as_owner_of(state):
        folder = StateFolder(state, Disk(), briefly=True)
    try:
        yield
    finally:
        folder.close()


def _list(box: BoxFiles, *, queue: bool, models: bool) -> Manifest:
    names = list(contents.find(box, queue=queue, models=models))
    if not any(box.path(name) == box.settings for name in names):
        raise BackupError(f"{box.settings}: there is no such file; --config names the settings if they are elsewhere")
    return Manifest(
        format=FORMAT,
        version=version("camiohookd"),
        made=iso(datetime.now(UTC).timestamp()),
        state_format=state_folder.FORMAT,
        queue=queue,
        files=tuple(contents.entry_of(box, name) for name in names),
        models_left_out=() if models else contents.models_left_out(box),
        elsewhere=contents.elsewhere(box),
    )
