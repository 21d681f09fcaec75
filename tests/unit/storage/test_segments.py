"""Payload segments: a record is read back whole or reported as damaged; an unused segment is deleted."""

import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camiohookd.storage import record
from camiohookd.storage.payload_record import MAGIC, decode, draft, finish
from camiohookd.storage.record import HEAD_BYTES, DamagedRecordError
from camiohookd.storage.segments import SEGMENT_BYTES, Place, SegmentFolder, Segments
from camiohookd.wire.event import Event
from tests.support.fault_disk import CountingDisk
from tests.support.queue_factory import make_event


def record_of(task_id: int, event: Event, received: float) -> bytes:
    return bytes(finish(draft(event, received), task_id))


EVENT = make_event(1, pictures=2, size=300)
RECORD = record_of(7, EVENT, 1.5e9)


@pytest.fixture
def segments(tmp_path: Path, disk: CountingDisk) -> Segments:
    return open_segments(tmp_path, disk)


def open_segments(folder: Path, disk: CountingDisk) -> Segments:
    return Segments(SegmentFolder(folder / "segments", "payloads", MAGIC), disk)


def read_id(segments: Segments, place: Place) -> int:
    return decode(segments.files.read(place)).task_id


def ids_of(segments: Segments) -> list[int]:
    """Return the task ids of the whole records in the first segment."""
    found = []
    for place, head in segments.files.heads(1):
        with suppress(DamagedRecordError):
            assert read_id(segments, place) == head.task_id
            found.append(head.task_id)
    return found


def keep(segments: Segments, record: bytes = RECORD) -> Place:
    place = segments.append(record)
    segments.need(place)
    segments.sync()
    segments.settle()
    return place


def files(segments: Segments, folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "segments").iterdir())


@given(number=st.integers(1, 2**63), pictures=st.integers(1, 5), size=st.integers(1, 500))
def test_a_record_holds_the_pictures_and_the_rest_of_the_event(number: int, pictures: int, size: int) -> None:
    event = make_event(number, pictures=pictures, size=size)
    stored = decode(record_of(number, event, 1.5e9))
    assert (stored.task_id, stored.pictures) == (number, event.pictures)
    assert stored.meta == {"digest": event.digest, "received": 1.5e9, "rest": event.rest}


def test_a_record_takes_the_decoded_pictures_and_little_more() -> None:
    decoded = sum(len(picture.data) for picture in make_event(1, pictures=8, size=50_000).pictures)
    assert len(record_of(1, make_event(1, pictures=8, size=50_000), 1.5e9)) - decoded < 1000


@settings(max_examples=300)
@given(place=st.integers(0, len(RECORD) - 1), flip=st.integers(1, 255))
def test_detects_any_damaged_byte(place: int, flip: int) -> None:
    damaged = bytearray(RECORD)
    damaged[place] ^= flip
    with pytest.raises(DamagedRecordError) as caught:
        decode(bytes(damaged))
    assert caught.value.data == damaged


def test_reads_the_checksum_that_version_0_1_0_wrote() -> None:
    [(_, head)] = record.heads(BytesIO(RECORD), MAGIC)
    old = bytearray(RECORD)
    record.write_head(old, MAGIC, head._replace(checksum=zlib.crc32(RECORD[HEAD_BYTES:]), checksum_kind=0))
    assert decode(bytes(old)) == decode(RECORD)
    record.write_head(old, MAGIC, head._replace(checksum_kind=2))
    with pytest.raises(DamagedRecordError, match="head is damaged"):
        decode(bytes(old))


def test_detects_a_record_cut_off_at_any_byte() -> None:
    for length in range(len(RECORD)):
        with pytest.raises(DamagedRecordError):
            decode(RECORD[:length])


def test_a_missing_file_is_a_damaged_payload(segments: Segments, tmp_path: Path) -> None:
    place = keep(segments)
    (tmp_path / "segments" / "00000001.payloads").unlink()
    with pytest.raises(DamagedRecordError, match="its file is gone"):
        segments.files.read(place)


def test_damage_to_one_record_leaves_the_others_readable(segments: Segments, tmp_path: Path) -> None:
    places = [keep(segments, record_of(number, make_event(number), 0.0)) for number in range(1, 6)]
    path = tmp_path / "segments" / "00000001.payloads"
    content = bytearray(path.read_bytes())
    content[places[2].offset + 2 : places[2].offset + 40] = b"\xff" * 38
    path.write_bytes(content)
    assert ids_of(segments) == [1, 2, 4, 5]
    assert [place for place, _ in segments.files.heads(1)] == [place for place in places if place != places[2]]
    assert read_id(segments, places[4]) == 5


def test_does_not_mistake_a_picture_for_a_record(segments: Segments) -> None:
    keep(segments, record_of(1, embedding(RECORD), 0.0))
    keep(segments, record_of(2, make_event(2), 0.0))
    assert ids_of(segments) == [1, 2]


def embedding(record: bytes) -> Event:
    event = make_event(1)
    picture = event.pictures[0]
    return Event(**{name: getattr(event, name) for name in Event.__slots__ if name != "pictures"},
                 pictures=(type(picture)(picture.timestamp, record),))  # fmt: skip


def test_many_records_are_durable_with_one_sync(segments: Segments, disk: CountingDisk) -> None:
    keep(segments)
    disk.calls.clear()
    for _ in range(20):
        segments.append(RECORD)
    segments.sync()
    assert disk.calls == {"write": 20, "sync": 1}


def test_undo_removes_new_records_and_keeps_settled_ones(segments: Segments, tmp_path: Path) -> None:
    place = keep(segments)
    segments.append(RECORD)
    segments.undo()
    assert (tmp_path / "segments" / "00000001.payloads").read_bytes() == RECORD
    assert segments.bytes_used == len(RECORD)
    assert keep(segments) == Place(1, len(RECORD), len(RECORD))
    assert read_id(segments, place) == 7


def test_cuts_off_a_torn_record_before_writing_the_next(
    segments: Segments, disk: CountingDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(segments)

    def write_half(fd: int, data: bytes) -> None:
        super(CountingDisk, disk).write(fd, data[: len(data) // 2])
        raise OSError("full")

    with monkeypatch.context() as patched:
        patched.setattr(disk, "write", write_half)
        with pytest.raises(OSError, match="full"):
            segments.append(RECORD)
    segments.undo()
    place = keep(segments)
    assert place.offset == len(RECORD)
    assert read_id(segments, place) == 7
    assert (tmp_path / "segments" / "00000001.payloads").stat().st_size == 2 * len(RECORD)


def test_never_writes_again_to_a_segment_that_cannot_be_cut(segments: Segments, disk: CountingDisk) -> None:
    keep(segments)
    segments.append(RECORD)
    disk.fails = lambda call, _: OSError("refused") if call == "truncate" else None
    segments.undo()
    disk.fails = lambda *_: None
    assert keep(segments) == Place(2, 0, len(RECORD))


def test_starts_a_new_segment_when_one_is_full_and_deletes_the_old_one_when_unused(
    segments: Segments, tmp_path: Path
) -> None:
    big = record_of(1, make_event(1, size=SEGMENT_BYTES // 2), 0.0)
    places = [keep(segments, big) for _ in range(3)]
    assert [place.segment for place in places] == [1, 1, 2]
    segments.let_go(places[0])
    segments.drop_unneeded()
    assert files(segments, tmp_path) == ["00000001.payloads", "00000002.payloads"]
    segments.let_go(places[1])
    segments.drop_unneeded()
    assert files(segments, tmp_path) == ["00000002.payloads"]
    assert segments.bytes_used == len(big)


def test_keeps_the_current_segment_while_it_is_short(segments: Segments, tmp_path: Path) -> None:
    segments.let_go(keep(segments))
    segments.drop_unneeded()
    assert files(segments, tmp_path) == ["00000001.payloads"]
    assert segments.retire()
    assert files(segments, tmp_path) == []
    assert segments.bytes_used == 0


def test_a_new_run_starts_a_new_segment_and_counts_the_bytes_of_the_old_ones(
    segments: Segments, tmp_path: Path, disk: CountingDisk
) -> None:
    place = keep(segments)
    again = open_segments(tmp_path, disk)
    again.need(place)
    again.drop_unneeded()
    assert again.bytes_used == len(RECORD)
    assert keep(again).segment == 2
    assert read_id(again, place) == 7


def test_syncs_the_folder_of_a_new_segment_before_writing_records(segments: Segments, disk: CountingDisk) -> None:
    segments.append(RECORD)
    assert disk.calls["sync_folder"] == 1
    disk.fails = lambda call, _: OSError("refused") if call == "sync_folder" else None
    segments.retire()
    with pytest.raises(OSError, match="refused"):
        segments.append(RECORD)


def test_keeps_a_record_that_two_tasks_name_until_both_have_let_it_go(segments: Segments, tmp_path: Path) -> None:
    place = keep(segments)
    segments.need(place)
    segments.let_go(place)
    segments.retire()
    assert files(segments, tmp_path) == ["00000001.payloads"]
    segments.let_go(place)
    segments.retire()
    assert files(segments, tmp_path) == []
