"""Keep the queue as it was before a migration, so that the version before can have it back.

::

    state folder of an older format ─▶ `keep`: before-format-3/ ─┬▶ the trial of an upgrade restores or deletes it
                                                                 └▶ `forget_old` deletes it a week later

The snapshot and the segments are hard links, because neither is changed in place. Journals are copied, because they
grow. debian/bin/restore-queue restores it, together with the segments of events that were accepted since.
"""

import logging
import os
import shutil
import time
from pathlib import Path

from camiohookd.storage import journal
from camiohookd.system.log_fields import about

KEEP_SECONDS = 7 * 86_400.0
_FOLDERS = ("segments", "replies")

log = logging.getLogger("camiohookd.queue")


def keep(state: Path, found: int, becomes: int) -> None:
    """Copy the queue in `state`, which has the format `found`, to the folder for the format that it `becomes`.

    If that fails, log a warning: the migration does not depend on it.
    """
    target = state / f"before-format-{becomes}"
    unfinished = target.with_suffix(".new")
    for folder in (unfinished, target):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        _copy(state, unfinished)
        (unfinished / "format").write_text(f"{found}\n")
        for path in (*(path for path in unfinished.iterdir() if path.name not in _FOLDERS), unfinished):
            _sync(path)
        unfinished.rename(target)
        _sync(state)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        log.warning(
            "cannot keep a copy of the queue of format %d: %s; the version before cannot be installed again by itself",
            found,
            error.strerror,
            extra=about("queue_not_kept"),
        )


def forget_old(state: Path) -> None:
    """Delete copies that are older than a week."""
    for folder in state.glob("before-format-*"):
        if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _copy(state: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    if (snapshot := state / "queue.json").exists():
        os.link(snapshot, target / snapshot.name)
    for number in journal.numbers(state):
        shutil.copyfile(journal.path_of(state, number), journal.path_of(target, number))
    for folder in (state / name for name in _FOLDERS):
        if folder.is_dir():
            (target / folder.name).mkdir(mode=0o700)
            for path in folder.iterdir():
                os.link(path, target / folder.name / path.name)
            _sync(target / folder.name)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
