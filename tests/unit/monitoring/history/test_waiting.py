"""In which order thumbnails are made, and what waits for that in memory."""

from dataclasses import replace

from camiohookd.monitoring.activity import LabeledPicture
from camiohookd.monitoring.history import waiting
from camiohookd.monitoring.history.waiting import Job, WaitingPictures
from tests.support.history_events import PERSON, labeled_event


def job(task_id: int, camera: str, picture: int = 0, size: int = 10) -> Job:
    return Job(task_id, camera, picture, bytes(size), 640, 480, 640)


def taken(pictures: WaitingPictures) -> list[tuple[int, int]]:
    found = []
    while pictures:
        next_one = pictures.take()
        found.append((next_one.task_id, next_one.picture))
    return found


def test_cameras_take_turns_and_the_newest_event_of_each_comes_first() -> None:
    pictures = WaitingPictures(500)
    for number in (1, 2, 3):
        pictures.add([job(number, "storm", 0), job(number, "storm", 1)])
    pictures.add([job(4, "quiet")])
    assert taken(pictures) == [(3, 0), (4, 0), (3, 1), (2, 0), (2, 1), (1, 0), (1, 1)]
    assert pictures.bytes_held == len(pictures) == 0


def test_above_the_bound_the_camera_with_the_most_bytes_loses_its_oldest_event() -> None:
    pictures = WaitingPictures(500, max_bytes=100)
    pictures.add([job(1, "quiet")])
    for number in range(2, 30):
        pictures.add([job(number, "storm")])
        assert pictures.bytes_held <= 100
    assert taken(pictures) == [(1, 0), *((number, 0) for number in range(29, 20, -1))]


def test_a_single_event_above_the_bound_loses_its_least_probable_pictures() -> None:
    pictures = WaitingPictures(500, max_bytes=100)
    pictures.add([job(1, "front", number, 40) for number in range(4)])
    assert taken(pictures) == [(1, 0), (1, 1)]
    pictures.add([job(2, "front", size=101)])
    assert taken(pictures) == []


def test_pictures_of_events_that_the_history_has_forgotten_do_not_wait() -> None:
    pictures = WaitingPictures(3)
    pictures.add([job(1, "front", 0), job(1, "front", 1)])
    pictures.add([job(2, "garden")])
    pictures.add([])  # an event without a picture counts, too
    assert len(pictures) == 3
    pictures.add([job(4, "front")])
    assert (len(pictures), pictures.bytes_held) == (2, 20)
    pictures.add([])
    assert taken(pictures) == [(4, 0)]


def test_the_pictures_with_the_most_probable_labels_come_first_and_many_are_made_smaller() -> None:
    event = labeled_event(1, files=(b"a", b"b", b"c"))
    likely = event.pictures[1].labels._replace(sent=[PERSON._replace(probability=0.99)])
    nothing = event.pictures[0].labels._replace(sent=[])
    pictures = (LabeledPicture(nothing, b"a"), LabeledPicture(likely, b"b"), event.pictures[2])
    jobs = waiting.jobs(replace(event, pictures=pictures), 32, all_of_them=True)
    assert [(each.picture, each.file) for each in jobs] == [(1, b"b"), (2, b"c"), (0, b"a")]
    assert {each.side for each in jobs} == {512}
    many = waiting.jobs(labeled_event(1, files=(b"x",) * 20), 32, all_of_them=True)
    assert (len(many), many[0].side) == (waiting.MOST_OF_EVENT, 400)
    [single] = waiting.jobs(replace(event, pictures=pictures), 32, all_of_them=False)
    assert (single.picture, single.side) == (1, 400)
