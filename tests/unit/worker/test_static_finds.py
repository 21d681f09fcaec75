"""What always stands there is learned per camera."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection
from camiohookd.worker.static_finds import (
    EVENTS,
    MAX_CAMERAS,
    MAX_FINDS,
    MISSED_EVENTS,
    EventFinds,
    SeenPicture,
    StaticFinds,
    marked,
    seen,
)

SIZE = (400, 300)
SIGN, ELSEWHERE = Box(40, 100, 80, 200), Box(240, 100, 280, 200)
SIGN_LOOKS, PERSON_LOOKS, OTHER_PERSON = 7, 8, 9


def textured(seed: int, size: tuple[int, int], cells: tuple[int, int]) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (cells[1], cells[0], 3), np.uint8)
    return Image.fromarray(values).resize(size, Image.Resampling.NEAREST)


def picture(*objects: tuple[Box, int], view: int = 1, found: bool = True) -> SeenPicture:
    """Return a picture of a yard with objects (box, looks), in which a person is found at each box."""
    image = textured(view, SIZE, (40, 30))
    for box, looks in objects:
        left, top, right, bottom = map(int, box)
        image.paste(textured(looks, (right - left, bottom - top), (4, 8)), (left, top))
    detections = [Detection("person", 0.8, box) for box, _ in objects] if found else []
    return seen(Decoded(image, *SIZE), detections)


def taught(*events: SeenPicture, finds: StaticFinds | None = None, pictures: int = 2) -> StaticFinds:
    """Return what is learned from events, each of equal pictures."""
    finds = finds or StaticFinds()
    for event in events:
        finds.learn("yard", [event] * pictures)
    return finds


def test_a_sign_is_static_after_some_events_and_not_before() -> None:
    sign = picture((SIGN, SIGN_LOOKS))
    finds = StaticFinds()
    for _ in range(EVENTS):
        assert finds.static("yard", sign) == []
        taught(sign, finds=finds)
    assert len(finds.static("yard", sign)) == 1
    assert finds.static("other camera", sign) == []


def test_a_person_who_stands_still_for_one_event_is_not_static_however_many_pictures_it_has() -> None:
    person = picture((SIGN, PERSON_LOOKS))
    finds = taught(person, pictures=1000)
    assert finds.static("yard", person) == []


def test_a_sign_that_is_found_in_one_picture_of_each_event_is_static_and_a_person_who_leaves_is_not() -> None:
    sign, overlooked, empty = picture((SIGN, SIGN_LOOKS)), picture((SIGN, SIGN_LOOKS), found=False), picture()
    learned, left = StaticFinds(), StaticFinds()
    for _ in range(EVENTS):
        learned.learn("yard", [overlooked, sign, overlooked, overlooked])
        left.learn("yard", [empty, sign, empty, empty])
    assert len(learned.static("yard", sign)) == 1
    assert left.static("yard", sign) == []


def test_a_person_before_the_sign_is_not_static() -> None:
    finds = taught(*[picture((SIGN, SIGN_LOOKS))] * EVENTS)
    assert finds.static("yard", picture((SIGN, PERSON_LOOKS))) == []
    assert finds.static("yard", picture((ELSEWHERE, SIGN_LOOKS))) == []


def test_different_people_at_one_place_are_not_static() -> None:
    people = [picture((SIGN, looks)) for looks in range(20, 20 + 2 * EVENTS)]
    finds = taught(*people)
    assert [finds.static("yard", each) for each in people] == [[]] * len(people)


def test_a_box_that_differs_a_little_is_the_same_place() -> None:
    finds = taught(*[picture((SIGN, SIGN_LOOKS))] * EVENTS)
    sign = picture((SIGN, SIGN_LOOKS))
    moved = replace(sign, found=[("person", Box(0.09, 0.3, 0.19, 0.62))])
    assert len(finds.static("yard", moved)) == 1


def test_only_the_sign_is_static_beside_a_person() -> None:
    finds = taught(*[picture((SIGN, SIGN_LOOKS), (ELSEWHERE, 30 + nth)) for nth in range(EVENTS)])
    both = picture((SIGN, SIGN_LOOKS), (ELSEWHERE, PERSON_LOOKS))
    ((label, box),) = finds.static("yard", both)
    assert (label, box.left) == ("person", SIGN.left / SIZE[0])


def test_a_sign_that_is_gone_is_forgotten() -> None:
    sign = picture((SIGN, SIGN_LOOKS))
    finds = taught(*[sign] * EVENTS, *[picture()] * (MISSED_EVENTS + 1))
    assert finds.static("yard", sign) == []


def test_everything_is_forgotten_when_the_view_changes_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    sign = picture((SIGN, SIGN_LOOKS))
    finds = taught(*[sign] * EVENTS)
    assert "camera=yard: something that looks like a person is always there, 15 % from the left" in caplog.text
    moved = picture((SIGN, SIGN_LOOKS), view=2)
    assert finds.static("yard", moved) == []
    taught(moved, finds=finds)
    assert "camera=yard: the view has changed" in caplog.text
    assert "1 object forgotten" in caplog.text
    taught(sign, finds=finds)
    assert finds.static("yard", sign) == []


def test_the_memory_is_bounded() -> None:
    finds = StaticFinds()
    sign = picture((SIGN, SIGN_LOOKS))
    for nth in range(MAX_CAMERAS + 5):
        finds.learn(f"camera {nth}", [sign])
    assert len(finds._cameras) == MAX_CAMERAS
    many = replace(sign, found=[("person", Box(x / 100, 0, x / 100 + 0.005, 0.1)) for x in range(2 * MAX_FINDS)])
    finds.learn("yard", [many])
    assert len(finds._cameras["yard"].finds) <= MAX_FINDS


def test_marks_the_detections_at_a_static_place_and_learns_from_the_labels_of_interest_only() -> None:
    sign = Detection("person", 0.8, SIGN)
    dog = Detection("dog", 0.9, ELSEWHERE)
    yard = Decoded(picture((SIGN, SIGN_LOOKS), (ELSEWHERE, PERSON_LOOKS)).gray.convert("RGB"), *SIZE)
    finds = StaticFinds()
    for _ in range(EVENTS):
        event = EventFinds(finds, "yard", ("person",))
        assert event.places(yard, [sign, dog]) == []
        event.learn()
    places = EventFinds(finds, "yard", ("person",)).places(yard, [sign, dog])
    assert marked([sign, dog], SIZE, places) == [sign._replace(always_there=True), dog]


def test_an_event_without_pictures_teaches_nothing() -> None:
    finds = StaticFinds()
    finds.learn("yard", [])
    assert len(finds._cameras) == 0
