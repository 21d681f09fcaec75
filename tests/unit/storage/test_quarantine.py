"""The quarantine keeps and counts damaged bytes, and deletes the oldest first."""

from pathlib import Path

import pytest

from camiohookd.storage.quarantine import Quarantine
from tests.support.fault_disk import CountingDisk


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    return Quarantine(tmp_path / "quarantine", CountingDisk())


def test_keeps_damaged_bytes_in_a_file_named_after_their_position(
    quarantine: Quarantine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quarantine.set_aside("journal", "queue.journal-00000001@17", b"rotten")
    path = tmp_path / "quarantine" / "000001-journal-queue.journal-00000001@17"
    assert path.read_bytes() == b"rotten"
    assert str(path) in caplog.text
    assert quarantine.counts == {"journal": 1}
    assert quarantine.bytes_used == 6


def test_deletes_the_oldest_file_first_also_in_the_next_run(quarantine: Quarantine, tmp_path: Path) -> None:
    for number in range(12):
        quarantine.set_aside("payload", f"task-{99 - number}", b"x" * (number + 1))
    again = Quarantine(tmp_path / "quarantine", CountingDisk())
    assert again.bytes_used == sum(range(13))
    assert again.evict(60) == sum(range(12))
    assert [path.name for path in again.files()] == ["000012-payload-task-88"]
    assert again.bytes_used == 12
    assert again.evict(1) == 12
    assert again.evict(1) == 0


def test_a_disk_error_loses_only_the_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = CountingDisk()
    disk.fails = lambda call, _: OSError("full") if call == "write" else None
    quarantine = Quarantine(tmp_path / "quarantine", disk)
    quarantine.set_aside("snapshot", "queue.json@3", b"rotten")
    assert "could not be kept" in caplog.text
    assert quarantine.counts == {"snapshot": 1}
    assert quarantine.bytes_used == 0
