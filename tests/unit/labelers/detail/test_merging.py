"""What was found in a picture and in its tiles becomes each object once."""

import pytest

from camiohookd.labelers.detail.merging import Look, is_cut, merged
from camiohookd.pictures.detections import Box, Detection

SIZE = (700, 700)
LEFT, RIGHT = Box(0, 0, 400, 400), Box(300, 0, 700, 400)


def person(probability: float, *box: float) -> Detection:
    return Detection("person", probability, Box(*box))


def test_without_tiles_nothing_changes() -> None:
    found = [person(0.9, 0, 0, 10, 10), person(0.8, 0, 0, 10, 10)]
    assert merged(SIZE, found, []) == found


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        (Box(350, 100, 399, 200), True),
        (Box(350, 100, 390, 200), False),
        (Box(0, 0, 50, 50), False),
        (Box(100, 300, 150, 400), True),
    ],
)
def test_a_find_that_reaches_a_side_of_its_tile_inside_the_picture_is_cut(box: Box, cut: bool) -> None:
    assert is_cut(box, LEFT, SIZE) is cut


def test_cut_halves_are_dropped_and_the_whole_picture_keeps_the_object() -> None:
    whole = person(0.6, 200, 100, 500, 300)
    halves = [Look(LEFT, [person(0.9, 200, 100, 400, 300)]), Look(RIGHT, [person(0.9, 300, 100, 500, 300)])]
    assert merged(SIZE, [whole], halves) == [whole]


def test_an_object_in_two_tiles_is_reported_once_and_the_most_probable_find_is_kept() -> None:
    better, worse = person(0.9, 320, 100, 380, 200), person(0.7, 322, 104, 381, 203)
    assert merged(SIZE, [], [Look(LEFT, [worse]), Look(RIGHT, [better])]) == [better]


def test_a_tile_places_a_small_object_better_than_the_whole_picture_and_the_probability_is_the_higher_one() -> None:
    coarse, fine = person(0.9, 110, 100, 140, 200), person(0.6, 100, 95, 132, 190)
    assert merged(SIZE, [coarse], [Look(LEFT, [fine])]) == [fine._replace(probability=0.9)]


def test_a_find_inside_a_large_object_that_is_at_least_as_probable_is_a_part_of_it() -> None:
    large, part = person(0.7, 50, 50, 350, 380), person(0.7, 100, 100, 150, 200)
    assert merged(SIZE, [large], [Look(LEFT, [part])]) == [large]


def test_a_large_box_around_people_does_not_hide_those_that_are_more_probable() -> None:
    around, one, other = (
        person(0.5, 50, 50, 350, 380),
        person(0.9, 100, 100, 150, 200),
        person(0.6, 200, 100, 250, 200),
    )
    assert merged(SIZE, [around], [Look(LEFT, [one, other])]) == [one, other, around]


def test_a_find_that_is_much_less_probable_replaces_none_at_either_scale() -> None:
    coarse, doubtful = person(0.8, 110, 100, 140, 200), person(0.1, 100, 95, 132, 190)
    assert merged(SIZE, [coarse], [Look(LEFT, [doubtful])]) == [coarse, doubtful]
    large, certain = person(0.1, 50, 50, 350, 380), person(0.9, 100, 100, 150, 200)
    assert merged(SIZE, [large], [Look(LEFT, [certain])]) == [certain, large]


def test_neighbors_and_other_labels_are_kept_most_probable_first() -> None:
    one, other = person(0.7, 100, 100, 140, 200), person(0.8, 150, 100, 190, 200)
    dog = Detection("dog", 0.9, Box(100, 100, 140, 200))
    assert merged(SIZE, [dog], [Look(LEFT, [one, other])]) == [dog, other, one]


def test_a_label_of_a_tile_without_a_box_says_nothing_of_the_picture() -> None:
    assert merged(SIZE, [], [Look(LEFT, [Detection("night", 1.0, None)])]) == []
