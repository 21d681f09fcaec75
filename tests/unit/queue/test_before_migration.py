"""The queue of an older format is kept at its migration, as it was, for a week, and can be restored."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from camiohookd.queue import before_migration, state_folder
from tests.support.checkout import ROOT
from tests.support.queue_factory import accept, label, make_event, open_queue

WRITTEN = ROOT / "tests/faults/version_0_1_0"
RESTORE = ROOT / "debian/bin/restore-queue"
NEXT = state_folder.FORMAT + 1


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of the queue by their path in `folder`."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return Path(shutil.copytree(WRITTEN, tmp_path / "state"))


def test_a_migration_keeps_the_queue_as_it_was_although_events_are_accepted_later(state: Path) -> None:
    before = contents(state)
    queue = open_queue(state)
    accept(queue, make_event(1))
    queue.close()
    assert (state / "format").read_text() == "3\n"
    assert contents(state / "before-format-3") == before
    open_queue(state).close()
    assert contents(state / "before-format-3") == before


def test_a_copy_that_is_a_week_old_is_deleted_by_the_next_start(state: Path) -> None:
    open_queue(state).close()
    ago = time.time() - before_migration.KEEP_SECONDS - 60
    os.utime(state / "before-format-3", (ago, ago))
    open_queue(state).close()
    assert list(state.glob("before-format*")) == []


def test_a_new_folder_and_one_of_this_format_need_no_copy(tmp_path: Path) -> None:
    for _ in range(2):
        open_queue(tmp_path).close()
        assert list(tmp_path.glob("before-format*")) == []


def test_without_a_copy_the_queue_is_migrated_nevertheless(state: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.rmtree(state / "segments")
    (state / "segments").symlink_to("/proc/self")  # whose files cannot be linked
    before_migration.keep(state, 2, 3)
    assert "cannot keep a copy of the queue of format 2: " in caplog.text
    assert list(state.glob("before-format*")) == []


SCRIPT = RESTORE.read_text().replace("\nsync\n", "\n")
"""The script; it need not wait for the disk here."""

DELETES, ENDS = (SCRIPT.index(line) for line in ("rm -rf queue.json", 'said="'))
INTERRUPTED = [DELETES + found.end() for found in re.finditer("\n", SCRIPT[DELETES:ENDS])]
"""The offsets after each line that deletes or moves something."""


def restore(state: Path, script: str = SCRIPT, readable: str = "yes") -> tuple[int, str]:
    """Return the exit status and standard error."""
    command = ["sh", "-s", str(state), f"before-format-{NEXT}", readable]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr


@pytest.fixture
def migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state folder that a version with the next format has migrated; it has then accepted two events.

    Its new segments have the numbers of old ones, which are deleted by then.
    """
    state = tmp_path / "state"
    queue = open_queue(state)
    label(queue, make_event(1))
    accept(queue, make_event(2))
    queue.close()
    with monkeypatch.context() as newer:
        newer.setattr(state_folder, "FORMAT", NEXT)
        open_queue(state).close()
        for segment in (state / "segments").iterdir():
            segment.unlink()
        for number in (3, 4):
            queue = open_queue(state)
            (label if number == 3 else accept)(queue, make_event(number))
            queue.close()
    assert (state / "format").read_text() == f"{NEXT}\n"
    return state


def states(state: Path) -> dict[int, str]:
    queue = open_queue(state)
    tasks = {task_id: queue.get(task_id) for task_id in range(1, 5)}
    queue.close()
    assert all(task.payload is not None for task in tasks.values())
    return {task_id: task.state.value for task_id, task in tasks.items()}


@pytest.mark.parametrize("interrupted", [None, *INTERRUPTED])
def test_the_queue_is_restored_with_the_events_that_were_accepted_since(
    migrated: Path, interrupted: int | None
) -> None:
    if interrupted is not None:
        restore(migrated, SCRIPT[:interrupted])
    if (migrated / "format").read_text() == f"{NEXT}\n":  # else only the copy's deletion was missing
        assert restore(migrated)[0] == 0
    assert (migrated / "format").read_text() == f"{state_folder.FORMAT}\n"
    assert states(migrated) == {1: "labelled", 2: "pending", 3: "pending", 4: "pending"}


def test_nothing_is_restored_if_the_version_before_cannot_read_the_events_or_there_is_no_copy(migrated: Path) -> None:
    before = contents(migrated)
    assert restore(migrated, readable="no") == (
        1,
        "the version before could not read the events that were accepted since\n",
    )
    assert contents(migrated) == before
    shutil.rmtree(migrated / f"before-format-{NEXT}")
    before = contents(migrated)
    assert restore(migrated) == (1, "there is no copy of the queue from before its migration\n")
    assert contents(migrated) == before


def test_a_queue_without_new_events_is_restored_whatever_the_version_before_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = open_queue(tmp_path)
    accept(queue, make_event(1))
    queue.close()
    before = contents(tmp_path)
    monkeypatch.setattr(state_folder, "FORMAT", NEXT)
    open_queue(tmp_path).close()
    assert restore(tmp_path, readable="no") == (0, "the queue is as it was before the new version migrated it\n")
    assert contents(tmp_path) == before
