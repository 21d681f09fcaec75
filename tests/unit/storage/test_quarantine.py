"""The quarantine keeps and counts damaged bytes, and deletes the oldest first."""

from pathlib import Path

import pytest

from camiohookd.storage import quarantine as module
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


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_many_starts_with_damage_keep_the_newest_files_up_to_the_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 10)
    monkeypatch.setattr(module, "MAX_BYTES", 5000)
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2000)
    folder = tmp_path / "quarantine"
    for start in range(1, 61):
        quarantine = Quarantine(folder, CountingDisk())
        for kind in ("journal", "snapshot"):
            with quarantine.collecting(kind, f"start-{start}") as damage:
                for place in range(start % 7):
                    damage.add(1000 * place, bytes(100 * (start % 5)))
        names = [path.name for path in quarantine.files()]
        assert len(names) <= 10
        assert _folder_bytes(folder) == quarantine.bytes_used <= 5000
        assert not names or names[-1].endswith(f"start-{start - (start % 7 == 0)}")
        numbers = [int(name.partition("-")[0]) for name in names]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True


def test_one_file_keeps_a_bounded_part_of_the_damage(
    quarantine: Quarantine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FILE_BYTES", 2000)
    with quarantine.collecting("snapshot", "queue.json") as damage:
        for place in range(100):
            damage.add(1000 * place, bytes(150))
    assert damage.size == 15_000
    assert 1500 < quarantine.bytes_used == _folder_bytes(tmp_path / "quarantine") <= 2000 + 100 * len(b"@99000 150\n\n")


@pytest.mark.parametrize("call", ["write", "sync"])
def test_what_a_refused_copy_left_on_the_disk_is_counted(call: str, tmp_path: Path) -> None:
    disk = CountingDisk()
    quarantine = Quarantine(tmp_path / "quarantine", disk)
    with quarantine.collecting("journal", "queue.journal-00000001") as damage:
        damage.add(0, bytes(module._BUFFER_BYTES))
        disk.fails = lambda name, _: OSError("full") if name == call else None
        damage.add(9_000_000, bytes(1000))
    assert quarantine.bytes_used == _folder_bytes(tmp_path / "quarantine")
    assert len(quarantine.files()) == 1


def test_a_file_that_cannot_be_deleted_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "MAX_FILES", 3)
    disk = CountingDisk()
    disk.fails = lambda call, _: OSError("refused") if call == "unlink" else None
    quarantine = Quarantine(tmp_path / "quarantine", disk)
    for number in range(6):
        quarantine.set_aside("payload", f"task-{number}", b"rotten")
    assert len(quarantine.files()) == 6
    assert "cannot delete the oldest file" in caplog.text
    disk.fails = lambda *_: None
    quarantine.set_aside("payload", "task-6", b"rotten")
    assert next(path.name for path in quarantine.files()) == "000005-payload-task-4"
    assert quarantine.bytes_used == 18
