"""The archive: answers, bounds, restarts, damage and failing disks."""

import errno
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from camiohookd import rules
from camiohookd.config.rule import Rule, Zone
from camiohookd.monitoring.activity import (
    DeliveryTried,
    EventAccepted,
    EventDone,
    EventDropped,
    EventFailed,
    EventRetried,
    Occurrence,
)
from camiohookd.monitoring.history.archive import MAX_BYTES, OTHER_BYTES, Archive
from camiohookd.monitoring.history.records import MAX_DETECTIONS, Step, StoredPicture
from camiohookd.monitoring.history.trends import Sample
from camiohookd.monitoring.history.views import EventList, State
from camiohookd.pictures.detections import Box, Detection
from tests.support.fault_disk import CountingDisk
from tests.support.history_events import CAR, NOW, PERSON, labeled_event


def open_archive(
    folder: Path,
    keep: int = 500,
    disk: CountingDisk | None = None,
    segment_bytes: int = 4096,
    max_bytes: int = MAX_BYTES,
) -> Archive:
    disk = disk or CountingDisk()
    return Archive(
        folder / "history", keep, disk=disk, min_free_bytes=1000, segment_bytes=segment_bytes, max_bytes=max_bytes
    )


def page(archive: Archive, *, camera: str | None = None, label: str | None = None, state: State | None = None,
         before: int | None = None, limit: int = 50) -> EventList:  # fmt: skip
    return archive.reader.events(camera=camera, label=label, state=state, before=before, limit=limit)


def ids(found: EventList) -> list[int]:
    return [int(event.id) for event in found.events]


def test_returns_an_event_in_full(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(7), NOW)
    archive.take_in(DeliveryTried("7", "front", NOW, 1, 0.2, "transient", 503, "answered 503", 5.0), NOW)
    archive.take_in(DeliveryTried("7", "front", NOW, 2, 0.1, "delivered", 200, "answered 200", None), NOW)
    archive.take_in(EventDone("7", "front", NOW, 9.0), NOW)
    archive.keep_thumbnail(7, 0, b"a JPEG")
    for opened in (archive, open_archive(tmp_path)):  # from memory, and from the files
        event = opened.reader.event(7)
        assert event is not None
        assert (event.summary.state, event.summary.attempts, event.summary.thumbnails) == ("delivered", 2, (0,))
        assert event.summary.labels == (("person", 0.9),)
        [picture] = event.pictures
        assert picture.has_thumbnail
        assert [(each.found, each.left_out) for each in picture.detections] == [
            (PERSON, None),
            (CAR, "below 0.5 for car"),
        ]
        assert event.reply == labeled_event(7).reply
        assert [step.what for step in event.steps] == ["tried", "tried", "done"]
        assert (event.steps[0].status, event.steps[0].next_seconds) == (503, 5.0)
        assert event.rejected == ("t9: it is empty",)
        assert opened.reader.thumbnail(7, 0) == b"a JPEG"
        assert opened.reader.thumbnail(7, 1) is None
        assert opened.reader.event(8) is None


def test_lists_the_newest_first_by_camera_label_and_state_and_by_the_page(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    for number in range(1, 8):
        found = (PERSON,) if number % 2 else ()
        archive.take_in(labeled_event(number, "front" if number < 5 else None, found=found), NOW)
    archive.take_in(EventDone("2", "front", NOW, 1.0), NOW)
    assert ids(page(archive)) == [7, 6, 5, 4, 3, 2, 1]
    assert ids(page(archive, camera="front")) == [4, 3, 2, 1]
    assert ids(page(archive, camera="")) == [7, 6, 5]
    assert ids(page(archive, label="person")) == [7, 5, 3, 1]
    assert ids(page(archive, state="delivered")) == [2]
    first = page(archive, limit=3)
    assert (ids(first), first.next) == ([7, 6, 5], "5")
    last = page(archive, before=5, limit=4)
    assert (ids(last), last.next) == ([4, 3, 2, 1], None)
    assert ids(page(archive, label="person", before=5)) == [3, 1]


def test_the_next_page_follows_even_if_the_last_event_of_the_page_was_deleted(tmp_path: Path) -> None:
    archive = open_archive(tmp_path, keep=5)
    for number in range(1, 6):
        archive.take_in(labeled_event(number), NOW)
    assert ids(page(archive, before=6)) == [5, 4, 3, 2, 1]
    archive.take_in(labeled_event(7), NOW)
    assert ids(page(archive, before=3)) == [2]


def test_an_event_that_fails_before_it_is_labeled_is_listed_with_its_cause(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(EventFailed("3", "front", NOW, "no-picture", "no picture could be used"), NOW)
    for opened in (archive, open_archive(tmp_path)):
        event = opened.reader.event(3)
        assert event is not None
        assert (event.summary.state, event.summary.cause) == ("failed", "no-picture")
        assert (event.labelled, event.pictures, event.reply) == (0.0, (), None)
        assert opened.reader.replay(3, Rule()) is None


def test_a_late_failure_does_not_restore_a_deleted_event(tmp_path: Path) -> None:
    archive = open_archive(tmp_path, keep=2, segment_bytes=1)  # a segment for each record
    for task_id in (1, 2):
        archive.take_in(labeled_event(task_id), NOW)
    archive.take_in(EventFailed("1", "front", NOW, "refused", "the callback answered 404"), NOW)
    archive.take_in(labeled_event(3), NOW)
    archive = open_archive(tmp_path, keep=2)  # what only event 1 needed is deleted, but its failure comes later
    assert ids(page(open_archive(tmp_path, keep=2))) == ids(page(archive)) == [3, 2]


def test_a_retry_clears_the_failure_and_a_drop_is_shown_as_dropped(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(1), NOW)
    archive.take_in(EventFailed("1", "front", NOW, "refused", "the callback answered 404"), NOW)
    assert [event.failure for event in page(archive).events] == ["the callback answered 404"]
    archive.take_in(EventRetried("1", None, NOW), NOW)
    assert [(event.state, event.failure) for event in page(archive).events] == [("labelled", "")]
    archive.take_in(EventDropped("1", None, NOW), NOW)
    assert [event.state for event in page(open_archive(tmp_path)).events] == ["dropped"]


def test_an_event_that_is_labeled_again_is_listed_once_and_keeps_its_thumbnails(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(1), NOW)
    archive.keep_thumbnail(1, 0, b"a JPEG")
    archive.take_in(labeled_event(2), NOW)
    archive.take_in(labeled_event(1, found=()), NOW)
    for opened in (archive, open_archive(tmp_path)):
        assert ids(page(opened)) == [1, 2]
        assert page(opened).events[0].labels == ()
        assert opened.reader.thumbnail(1, 0) == b"a JPEG"


def test_of_very_many_detections_keeps_the_sent_ones_and_then_the_most_probable(tmp_path: Path) -> None:
    many = tuple(Detection("car", 0.99 - nth / 1000, Box(0, 0, 9, 9)) for nth in range(2 * MAX_DETECTIONS))
    improbable = Detection("person", 0.1, Box(0, 0, 9, 9))
    people = Rule(min_probability=0.05, labels=("person",))
    archive = open_archive(tmp_path, segment_bytes=10**6)
    archive.take_in(labeled_event(1, found=(*many, improbable), rule=people), NOW)
    event = archive.reader.event(1)
    assert event is not None
    [picture] = event.pictures
    assert len(picture.detections) == MAX_DETECTIONS
    assert picture.more == len(many) + 1 - MAX_DETECTIONS
    assert [each.found for each in picture.detections if each.left_out is None] == [improbable]


def test_replays_an_event_under_another_rule(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(1), NOW)
    right = Zone(name="drive", polygon=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    other = Rule(min_probability=0.2, zone=(right,), label_map={"car": "vehicle"})
    replay = archive.reader.replay(1, other)
    assert replay is not None
    assert (replay.added, replay.removed) == (("vehicle",), ("person",))
    [picture] = replay.pictures
    assert [each.left_out for each in picture.before] == [None, "below 0.5 for car"]
    assert [each.left_out for each in picture.after] == ["outside zone drive", None]
    assert replay.before == labeled_event(1).reply
    assert replay.after == rules.reply(other, [rules.apply(other, "t0", (640, 480), (PERSON, CAR))])
    assert replay.notes == ()


def test_a_replay_has_notes_on_what_was_not_kept(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(1), NOW)
    replay = archive.reader.replay(1, Rule(min_probability=0.01))
    assert replay is not None
    assert replay.notes == ("Objects with a probability below 0.1 were not kept, so they are not shown.",)


def test_returns_the_last_detections_of_a_camera_in_fractions(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(1, "back"), NOW)
    archive.take_in(labeled_event(2), NOW)
    archive.take_in(labeled_event(3), NOW)
    found = archive.reader.detections("front", 3)
    assert [(each.event, each.label, each.sent) for each in found] == [
        ("3", "person", True),
        ("3", "car", False),
        ("2", "person", True),
    ]
    assert found[0].box == (0.1, 0.2, 0.2, 0.5)
    assert found[0].foot == (0.15, 0.5)


def test_keeps_no_more_events_than_asked_for_and_deletes_their_files(tmp_path: Path) -> None:
    archive = open_archive(tmp_path, keep=10)
    for number in range(1, 301):
        archive.take_in(labeled_event(number, "front"), NOW)
        archive.take_in(EventDone(str(number), "front", NOW, 1.0), NOW)
    assert ids(page(archive)) == list(range(300, 290, -1))
    assert archive.bytes_used < 3 * 4096 + 10_000
    assert ids(page(open_archive(tmp_path, keep=10))) == list(range(300, 290, -1))


def test_a_record_larger_than_the_bound_is_not_kept(tmp_path: Path) -> None:
    archive = open_archive(tmp_path, max_bytes=OTHER_BYTES + 5_000)
    archive.take_in(labeled_event(1), NOW)
    assert archive.keep_thumbnail(1, 0, bytes(1000))
    assert not archive.keep_thumbnail(1, 0, bytes(10_000))
    assert archive.bytes_used <= 5_000


def test_takes_no_more_bytes_than_allowed(tmp_path: Path) -> None:
    archive = open_archive(tmp_path, max_bytes=OTHER_BYTES + 50_000, segment_bytes=10_000)
    for number in range(1, 201):
        archive.take_in(labeled_event(number, f"camera {number % 3}"), NOW)
        archive.keep_thumbnail(number, 0, bytes(3000))
        on_disk = sum(path.stat().st_size for path in (tmp_path / "history" / "events").iterdir())
        assert on_disk == archive.bytes_used <= 50_000
    assert ids(page(archive))[:5] == [200, 199, 198, 197, 196]


def test_keeps_only_numbers_if_no_event_is_to_be_kept(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    archive.take_in(labeled_event(1), NOW)
    archive.keep_thumbnail(1, 0, b"a JPEG")
    archive.close()
    archive = open_archive(tmp_path, keep=0)
    archive.take_in(EventAccepted("2", "front", NOW, 1, 0), NOW)
    archive.take_in(labeled_event(2), NOW)
    archive.take_in(EventDone("2", "front", NOW, 1.0), NOW)
    assert not archive.keep_thumbnail(2, 0, b"a JPEG")
    assert (page(archive).events, archive.reader.event(2), archive.bytes_used) == ((), None, 0)
    assert list((tmp_path / "history" / "events").iterdir()) == []
    assert archive.reader.cameras(NOW)[0].picture is None
    assert archive.trends.read("hour", NOW).labelled[-1] == 2  # with that before


def test_the_flat_list_of_labels_has_their_probabilities_where_they_are_known(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    flat = Rule(min_probability=0.2, labels_format="event", nothing_label="nothing")
    archive.take_in(labeled_event(1, rule=flat), NOW)
    archive.take_in(labeled_event(2, rule=flat, found=()), NOW)
    archive.take_in(labeled_event(3, rule=flat, found=(), event_labels=("dog",)), NOW)
    assert [event.labels for event in page(archive).events] == [
        (("dog", 1.0),),
        (("nothing", 1.0),),
        (("person", 0.9), ("car", 0.3)),
    ]


def test_keeps_a_quiet_cameras_last_picture_while_busy_cameras_fill_the_bound(tmp_path: Path) -> None:
    archive = open_archive(tmp_path, keep=20, max_bytes=OTHER_BYTES + 40_000, segment_bytes=5_000)
    archive.take_in(EventAccepted("1", "garden", NOW, 1, 0), NOW)
    archive.take_in(labeled_event(1, "garden"), NOW)
    archive.keep_thumbnail(1, 0, b"the garden")
    archive.take_in(EventDone("1", "garden", NOW, 1.0), NOW)
    for number in range(2, 300):
        archive.take_in(labeled_event(number, "street", at=NOW + number), NOW)
        archive.keep_thumbnail(number, 0, bytes(1000))
    archive.close()
    for opened in (archive, open_archive(tmp_path, keep=20)):
        assert 1 not in ids(page(opened))
        assert {camera.name: camera.picture for camera in opened.reader.cameras(NOW)} == {
            "garden": ("1", 0),
            "street": ("299", 0),
        }
        assert opened.reader.thumbnail(1, 0) == b"the garden"
        event = opened.reader.event(1)
        assert event is not None
        assert event.summary.state == "delivered"


def test_deletes_events_when_the_disk_is_short(tmp_path: Path) -> None:
    disk = CountingDisk()
    archive = open_archive(tmp_path, disk=disk)
    for number in range(1, 50):
        archive.take_in(labeled_event(number), NOW)
    disk.free = 500
    archive.tick(NOW, Sample(0, "cpu", degraded=False))
    assert archive.bytes_used == 0
    archive.take_in(labeled_event(50), NOW)
    assert ids(page(archive)) == []
    disk.free = 10**9
    archive.take_in(labeled_event(51), NOW)
    assert ids(page(archive)) == [51]


def test_a_failing_write_loses_only_its_own_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = CountingDisk()
    archive = open_archive(tmp_path, disk=disk)
    archive.take_in(labeled_event(1), NOW)
    disk.fails = lambda call, path: OSError(errno.EIO, "input/output error") if call == "write" else None
    archive.take_in(labeled_event(2), NOW)
    archive.take_in(labeled_event(3), NOW)
    disk.fails = lambda call, path: None
    archive.take_in(labeled_event(4), NOW)
    assert ids(page(archive)) == [4, 1]
    assert ids(page(open_archive(tmp_path))) == [4, 1]
    assert [record.message for record in caplog.records].count(
        "cannot keep events for the status page: [Errno 5] input/output error; events are still labeled and delivered"
    ) == 1


def test_corrects_the_states_of_events_after_a_crash(tmp_path: Path) -> None:
    archive = open_archive(tmp_path)
    for number in (1, 2, 3, 4):
        archive.take_in(labeled_event(number), NOW)
    assert sorted(archive.unsettled()) == [1, 2, 3, 4]
    archive.settle(
        {1: Step(what="done", at=NOW), 2: None, 3: Step(what="failed", at=NOW, cause="refused", reason="404")}
    )
    states = {event.id: event.state for event in page(archive).events}
    assert states == {"1": "delivered", "2": "unknown", "3": "failed", "4": "labelled"}


@pytest.mark.parametrize("seed", range(5))
def test_damage_loses_only_the_damaged_records(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    archive = open_archive(tmp_path, segment_bytes=20_000)
    for number in range(1, 101):
        archive.take_in(labeled_event(number), NOW)
        archive.keep_thumbnail(number, 0, b"jpeg %d" % number)
    archive.close()
    hits = 0
    for path in (tmp_path / "history" / "events").iterdir():
        data = bytearray(path.read_bytes())
        for _ in range(3):
            offset = chance.randrange(len(data))
            data[offset] ^= 1 << chance.randrange(8)
            hits += 1
        path.write_bytes(data[: len(data) - chance.randrange(50)])  # and a torn end
        hits += 1
    archive = open_archive(tmp_path)
    left = ids(page(archive, limit=200))
    assert len(left) >= 100 - hits
    for number in left:
        event = archive.reader.event(number)
        assert event is not None
        assert archive.reader.thumbnail(number, 0) in (b"jpeg %d" % number, None)
    archive.take_in(labeled_event(101), NOW)
    assert ids(page(archive))[0] == 101


class ArchiveAgainstModel(RuleBasedStateMachine):
    """An archive that restarts at any time tells what a list of events tells."""

    keep = 6

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.archive = self.reopened()
        self.events: list[int] = []  # oldest first
        self.states: dict[int, State] = {}
        self.thumbnails: dict[int, set[int]] = {}
        self.last = 0

    def reopened(self) -> Archive:
        return open_archive(Path(self.folder.name), keep=self.keep, segment_bytes=1500)

    def teardown(self) -> None:
        self.archive.close()
        self.folder.cleanup()

    @rule(camera=st.sampled_from(["a", "b"]))
    def label_a_new_event(self, camera: str) -> None:
        self.last += 1
        self._label(self.last, camera)

    @rule(nth=st.integers(0, 5))
    def label_again(self, nth: int) -> None:
        if self.events:
            task_id = self.events[nth % len(self.events)]
            event = self.archive.reader.event(task_id)
            assert event is not None
            self._label(task_id, event.summary.camera or "")

    def _label(self, task_id: int, camera: str) -> None:
        self.archive.take_in(labeled_event(task_id, camera, at=NOW + task_id, files=(b"", b"")), NOW)
        if task_id in self.events:
            self.events.remove(task_id)
        self.events.append(task_id)
        self.states[task_id] = "labelled"
        self.thumbnails.setdefault(task_id, set())
        del self.events[: -self.keep]

    @rule(nth=st.integers(0, 5), picture=st.integers(0, 1))
    def make_a_thumbnail(self, nth: int, picture: int) -> None:
        if self.events:
            task_id = self.events[nth % len(self.events)]
            assert self.archive.keep_thumbnail(task_id, picture, b"%d %d" % (task_id, picture))
            self.thumbnails[task_id].add(picture)

    @rule(nth=st.integers(0, 5), what=st.sampled_from(["done", "failed", "retried", "dropped"]))
    def go_on(self, nth: int, what: str) -> None:
        if self.events:
            task_id = str(self.events[nth % len(self.events)])
            outcomes: dict[str, tuple[Occurrence, State]] = {
                "done": (EventDone(task_id, "a", NOW, 1.0), "delivered"),
                "failed": (EventFailed(task_id, "a", NOW, "refused", "404"), "failed"),
                "retried": (EventRetried(task_id, None, NOW), "labelled"),
                "dropped": (EventDropped(task_id, "a", NOW), "dropped"),
            }
            occurrence, state = outcomes[what]
            self.archive.take_in(occurrence, NOW)
            self.states[int(task_id)] = state

    @rule()
    def restart(self) -> None:
        self.archive.close()
        self.archive = self.reopened()

    @rule()
    def kill(self) -> None:
        self.archive = self.reopened()  # nothing is buffered in the process

    @invariant()
    def tells_what_happened(self) -> None:
        found = self.archive.reader.events(camera=None, label=None, state=None, before=None, limit=50).events
        assert [int(event.id) for event in found] == self.events[::-1]
        assert [event.state for event in found] == [self.states[task_id] for task_id in self.events[::-1]]
        for event in found:
            task_id = int(event.id)
            assert set(event.thumbnails) == self.thumbnails[task_id]
            for picture in event.thumbnails:
                assert self.archive.reader.thumbnail(task_id, picture) == b"%d %d" % (task_id, picture)


TestArchiveAgainstModel = ArchiveAgainstModel.TestCase
TestArchiveAgainstModel.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)


def test_a_detection_that_was_kept_before_there_were_several_labelers_is_read() -> None:
    kept = {"timestamp": "t", "width": 9, "height": 9, "found": [["cat", 0.9, [0.0, 0.0, 1.0, 1.0], None]]}
    picture = msgspec.msgpack.decode(msgspec.msgpack.encode(kept), type=StoredPicture)
    assert picture.found == (Detection("cat", 0.9, Box(0, 0, 1, 1)),)
