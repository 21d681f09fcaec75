"""The queue of an older format is kept at its migration, as it was, for a week."""

import os
import shutil
import time
from pathlib import Path

import pytest

from camiohookd.queue import before_migration
from tests.support.checkout import ROOT
from tests.support.queue_factory import accept, make_event, open_queue

WRITTEN = ROOT / "tests/faults/version_0_1_0"


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
