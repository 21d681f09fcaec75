"""Detections → the reply, by camera."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.detections import Box, Detection
from camiohookd.payload import Label
from camiohookd.rules import Labelled, Rule, apply, image_labels, match, reply

CAT = Detection("cat", 0.9, Box(0, 0, 10, 10))
DIM_CAT = Detection("cat", 0.5, Box(5, 5, 10, 10))
DOG = Detection("dog", 0.7, Box(2, 2, 4, 4))

found = st.lists(
    st.builds(Detection, st.sampled_from(["cat", "dog", "car"]), st.floats(0, 1), st.just(Box(1, 2, 3, 4)))
)


@pytest.mark.parametrize(
    ("camera", "expected"),
    [("front", "front"), ("frontyard", "front*"), ("Front", "*"), ("", "*"), (None, "*")],
)
def test_the_first_rule_whose_pattern_matches_the_camera_wins(camera: str | None, expected: str) -> None:
    rules = [Rule("front"), Rule("front*"), Rule("*"), Rule("never reached")]
    assert match(rules, camera).camera == expected


@pytest.mark.parametrize(
    ("pattern", "camera", "matches"),
    [
        ("*door*", "back door", True),
        ("*", "two\nlines", True),
        ("cam[1]", "cam[1]", True),
        ("cam[1]", "cam1", False),
        ("cam[!x]*", "cam[!x] 7", True),
        ("yard?", "yard?", True),
        ("yard?", "yards", False),
        ("]*[", "] and [", True),
        ("a.c", "abc", False),
    ],
)
def test_in_a_pattern_only_the_star_is_special(pattern: str, camera: str, matches: bool) -> None:
    assert (match([Rule(pattern)], camera).camera == pattern) is matches


def seen(*detections: Detection) -> Labelled:
    return Labelled("t1", 100, 100, detections)


def test_without_a_rule_for_the_camera_everything_is_reported() -> None:
    assert match([Rule("back")], "front") == Rule()
    assert apply(Rule(), seen(CAT, DOG)) == [CAT, DOG]


def test_a_rule_leaves_out_what_is_less_probable() -> None:
    assert apply(Rule(min_probability=0.7), seen(CAT, DOG, DIM_CAT)) == [CAT, DOG]


def test_a_rule_leaves_out_labels_that_it_does_not_name() -> None:
    assert apply(Rule(labels=("dog", "bird")), seen(CAT, DOG)) == [DOG]


def test_a_label_has_the_probability_to_four_decimals_and_its_outline() -> None:
    labels = image_labels([Detection("cat", 0.123456, Box(0, 5, 10, 10))], 10, 10)
    assert labels == {"cat": Label(0.1235, ((0, 0), (1, 0), (1, 0.5), (0, 0.5)))}


def test_a_label_without_a_box_has_an_empty_outline() -> None:
    assert image_labels([Detection("cat", 1.0, None)], 10, 10) == {"cat": Label(1.0, ())}


@given(found)
def test_of_several_objects_with_one_label_the_most_probable_is_reported(detections: list[Detection]) -> None:
    labels = image_labels(detections, 10, 10)
    assert {name: label.probability for name, label in labels.items()} == {
        name: max(round(one.probability, 4) for one in detections if one.label == name)
        for name in {one.label for one in detections}
    }


def test_the_reply_has_every_picture_in_order_also_where_nothing_was_found() -> None:
    answer = reply(Rule(), [Labelled("t2", 10, 10, [CAT]), Labelled("t1", 10, 10, [])])
    assert msgspec.to_builtins(answer) == {
        "status": "success",
        "labels": {
            "t2": {"cat": {"probability": 0.9, "polygon": ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))}},
            "t1": {},
        },
    }


@pytest.mark.parametrize("pictures", [[CAT, DIM_CAT], [DIM_CAT, CAT]])
def test_pictures_with_one_timestamp_are_merged_and_the_higher_probability_wins(pictures: list[Detection]) -> None:
    answer = reply(Rule(), [Labelled("t", 10, 10, [one]) for one in [*pictures, DOG]])
    assert isinstance(answer.labels, dict)
    assert {name: label.probability for name, label in answer.labels["t"].items()} == {"cat": 0.9, "dog": 0.7}


def test_the_rule_holds_for_the_reply() -> None:
    answer = reply(Rule(labels=("dog",)), [Labelled("t", 10, 10, [CAT, DOG])])
    assert isinstance(answer.labels, dict)
    assert list(answer.labels["t"]) == ["dog"]


def test_the_older_form_is_one_flat_list_for_the_event() -> None:
    rule = Rule(labels_format="event", min_probability=0.6)
    answer = reply(rule, [Labelled("t1", 10, 10, [DOG, CAT]), Labelled("t2", 10, 10, [DIM_CAT, CAT])])
    assert msgspec.to_builtins(answer) == {"status": "success", "labels": ["cat", "dog"]}
