"""Apply the rules of a camera to detections, and build the reply."""

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from camiohookd import rules
from camiohookd.config.rule import Rule, Zone
from camiohookd.pictures.detections import Box, Detection, inside
from camiohookd.rules import RuledLabels, apply, complete, image_labels, least_probability, match, reply
from camiohookd.wire.reply import Label

CAT = Detection("cat", 0.9, Box(0, 0, 10, 10))
DIM_CAT = Detection("cat", 0.5, Box(5, 5, 10, 10))
DOG = Detection("dog", 0.7, Box(2, 2, 4, 4))

found = st.lists(
    st.builds(Detection, st.sampled_from(["cat", "dog", "car"]), st.floats(0, 1), st.just(Box(1, 2, 3, 4)))
)


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ("front", "front"),
        ("frontyard", "front*"),
        ("front door", "front*"),
        ("back door", "* door"),
        ("Front", "*"),
        ("", "*"),
        (None, "*"),
    ],
)
def test_an_exact_name_wins_then_the_longest_pattern_then_the_first_rule(camera: str | None, expected: str) -> None:
    rules = [Rule("*"), Rule("*a*"), Rule("front*"), Rule("* door"), Rule("front"), Rule("f*ront", "event")]
    chosen = match(rules, camera)
    assert (chosen.camera, chosen.labels_format) == (expected, "image")


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
def test_only_the_star_is_special_in_a_pattern(pattern: str, camera: str, matches: bool) -> None:
    assert (match([Rule(pattern)], camera).camera == pattern) is matches


def sent(rule: Rule, *detections: Detection, size: tuple[int, int] = (100, 100)) -> list[Detection]:
    return list(apply(rule, "t1", size, detections).sent)


def ruled(rule: Rule, timestamp: str, *detections: Detection) -> RuledLabels:
    return apply(rule, timestamp, (10, 10), detections)


def test_without_a_rule_for_the_camera_everything_is_reported() -> None:
    assert match([Rule("back")], "front") == Rule()
    assert sent(Rule(), CAT, DOG) == [CAT, DOG]


def test_a_rule_drops_labels_below_its_probability() -> None:
    assert sent(Rule(min_probability=0.7), CAT, DOG, DIM_CAT) == [CAT, DOG]


def test_a_rule_drops_labels_that_it_does_not_name() -> None:
    assert sent(Rule(labels=("dog", "bird")), CAT, DOG) == [DOG]


def test_a_label_may_have_its_own_probability_above_or_below_the_rules() -> None:
    rule = Rule(min_probability=0.6, min_probability_of={"cat": 0.5, "dog": 0.8})
    assert sent(rule, CAT, DOG, DIM_CAT) == [CAT, DIM_CAT]
    assert least_probability(rule) == 0.5
    assert least_probability(complete(Rule(min_probability_of={"cat": 0.5}), 0.3)) == 0.3


def test_drops_ignored_labels_even_if_the_rule_names_them() -> None:
    assert sent(Rule(ignore_labels=("cat",)), CAT, DOG) == [DOG]
    assert sent(Rule(labels=("cat",), ignore_labels=("cat",)), CAT, DOG) == []


def test_sends_a_mapped_label_under_its_new_name_and_filters_it_by_its_own() -> None:
    rule = Rule(labels=("cat", "dog"), label_map={"cat": "pet", "dog": "pet"})
    assert [found.label for found in sent(rule, CAT, DOG)] == ["pet", "pet"]
    answer = reply(rule, [ruled(rule, "t1", DOG, CAT)])
    assert isinstance(answer.labels, dict)
    assert {name: label.probability for name, label in answer.labels["t1"].items()} == {"pet": 0.9}


@pytest.mark.parametrize(("least", "most", "kept"), [(0.0, 1.0, 3), (0.01, 1.0, 1), (0.0, 0.005, 2), (0.002, 0.003, 1)])
def test_limits_the_area_of_an_object(least: float, most: float, kept: int) -> None:
    assert len(sent(Rule(min_area=least, max_area=most), CAT, DIM_CAT, DOG)) == kept


def test_clips_a_box_to_the_picture_before_measuring_it() -> None:
    corner = Detection("cat", 0.9, Box(-90, -90, 10, 10))
    assert sent(Rule(max_area=0.02), corner) == [corner]


LEFT = Zone("left", ((0, 0), (0.5, 0), (0.5, 1), (0, 1)))
LOW = Zone("low", ((0, 0.5), (1, 0.5), (1, 1), (0, 1)))


@pytest.mark.parametrize(
    ("zones", "box", "objection"),
    [
        ([LEFT], Box(10, 10, 20, 20), None),
        ([LEFT], Box(60, 10, 80, 20), "outside zone left"),
        ([LEFT, LOW], Box(60, 10, 80, 20), "outside zone left and low"),
        ([LEFT, LOW], Box(60, 10, 80, 60), None),
        ([LEFT], Box(40, 0, 90, 99), "outside zone left"),
        ([LOW], Box(0, 0, 100, 120), None),
        ([LOW], Box(0, 0, 100, 49), "outside zone low"),
        ([replace(LOW, kind="exclude")], Box(0, 0, 100, 51), "inside zone low"),
        ([LEFT, replace(LOW, kind="exclude")], Box(0, 0, 10, 90), "inside zone low"),
        ([LEFT, replace(LOW, kind="exclude")], Box(0, 0, 10, 10), None),
        ([LEFT], None, None),
    ],
)
def test_places_an_object_at_the_middle_of_its_bottom_edge(
    zones: list[Zone], box: Box | None, objection: str | None
) -> None:
    assert rules.objection(Rule(zone=tuple(zones)), Detection("cat", 0.9, box), 100, 100) == objection


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (Rule(min_probability=0.95), "below 0.95 for cat"),
        (Rule(min_probability_of={"cat": 0.95}), "below 0.95 for cat"),
        (Rule(labels=("dog",)), "cat is not one of labels"),
        (Rule(ignore_labels=("cat",)), "cat is one of ignore_labels"),
        (Rule(min_area=0.5), "its area is 0.01, below min_area 0.5"),
        (Rule(max_area=0.005), "its area is 0.01, above max_area 0.005"),
    ],
)
def test_reports_the_reason_for_each_dropped_label(rule: Rule, reason: str) -> None:
    assert rules.objection(rule, CAT, 100, 100) == reason
    assert sent(rule, CAT) == []


def test_sends_the_label_for_nothing_only_if_the_whole_event_has_no_label() -> None:
    rule = Rule(nothing_label="empty", labels=("cat",))
    nothing = reply(rule, [ruled(rule, "t1"), ruled(rule, "t2", DOG)])
    assert nothing.labels == {"t1": {"empty": Label(1.0)}, "t2": {"empty": Label(1.0)}}
    something = reply(rule, [ruled(rule, "t1"), ruled(rule, "t2", CAT)])
    assert isinstance(something.labels, dict)
    assert (list(something.labels["t1"]), list(something.labels["t2"])) == ([], ["cat"])
    flat = replace(rule, labels_format="event")
    assert reply(flat, [ruled(flat, "t1", DOG)]).labels == ["empty"]


def test_applies_the_rule_to_labels_of_the_whole_event() -> None:
    rule = Rule(ignore_labels=("dog",), label_map={"cat": "pet"}, nothing_label="empty")
    assert reply(rule, [ruled(rule, "t1")], {"cat", "dog", "bird"}).labels == ["bird", "pet"]
    assert reply(rule, [ruled(rule, "t1")], {"dog"}).labels == ["empty"]


grid = st.tuples(st.integers(0, 8), st.integers(0, 8))


@given(st.lists(grid, min_size=3, max_size=3), grid)
def test_a_point_in_a_triangle_is_on_the_same_side_of_every_edge(
    corners: list[tuple[int, int]], point: tuple[int, int]
) -> None:
    def turn(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> int:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    a, b, c = corners
    assume(turn(a, b, c))
    turns = [turn(a, b, point), turn(b, c, point), turn(c, a, point)]
    scaled = [(x / 8, y / 8) for x, y in corners]
    assert inside(scaled, (point[0] / 8, point[1] / 8)) is (min(turns) >= 0 or max(turns) <= 0)


def test_a_point_in_a_notch_is_outside() -> None:
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.0, 1.0)]
    assert inside(corners, (0.5, 0.4))
    assert not inside(corners, (0.5, 0.6))
    assert not inside(corners, (-0.1, 0.0))


def test_a_label_has_its_probability_to_four_decimals_and_its_outline() -> None:
    labels = image_labels([Detection("cat", 0.123456, Box(0, 5, 10, 10))], 10, 10)
    assert labels == {"cat": Label(0.1235, ((0, 0), (1, 0), (1, 0.5), (0, 0.5)))}


def test_a_label_without_a_box_has_an_empty_outline() -> None:
    assert image_labels([Detection("cat", 1.0, None)], 10, 10) == {"cat": Label(1.0, ())}


@given(found)
def test_reports_the_most_probable_of_several_objects_with_one_label(detections: list[Detection]) -> None:
    labels = image_labels(detections, 10, 10)
    assert {name: label.probability for name, label in labels.items()} == {
        name: max(round(one.probability, 4) for one in detections if one.label == name)
        for name in {one.label for one in detections}
    }


def test_the_reply_lists_every_picture_in_order_even_without_labels() -> None:
    answer = reply(Rule(), [ruled(Rule(), "t2", CAT), ruled(Rule(), "t1")])
    assert msgspec.to_builtins(answer) == {
        "status": "success",
        "labels": {
            "t2": {"cat": {"probability": 0.9, "polygon": ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))}},
            "t1": {},
        },
    }


@pytest.mark.parametrize("pictures", [[CAT, DIM_CAT], [DIM_CAT, CAT]])
def test_merges_pictures_with_one_timestamp_and_keeps_the_higher_probability(pictures: list[Detection]) -> None:
    answer = reply(Rule(), [ruled(Rule(), "t", one) for one in [*pictures, DOG]])
    assert isinstance(answer.labels, dict)
    assert {name: label.probability for name, label in answer.labels["t"].items()} == {"cat": 0.9, "dog": 0.7}


def test_the_reply_follows_the_rule() -> None:
    answer = reply(Rule(labels=("dog",)), [ruled(Rule(labels=("dog",)), "t", CAT, DOG)])
    assert isinstance(answer.labels, dict)
    assert list(answer.labels["t"]) == ["dog"]


def test_the_older_reply_form_is_one_flat_list_for_the_event() -> None:
    rule = Rule(labels_format="event", min_probability=0.6)
    answer = reply(rule, [ruled(rule, "t1", DOG, CAT), ruled(rule, "t2", DIM_CAT, CAT)])
    assert msgspec.to_builtins(answer) == {"status": "success", "labels": ["cat", "dog"]}


KNOWN = ["person", "car", "dog"]


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"labels": ("Person",)}, 'the model knows no label "Person"; did you mean "person"?'),
        ({"ignore_labels": ("cars",)}, 'the model knows no label "cars"; did you mean "car"?'),
        ({"min_probability_of": {"persn": 0.5}}, 'the model knows no label "persn"; did you mean "person"?'),
        ({"label_map": {"zebra": "horse"}}, 'the model knows no label "zebra"; "camiohookd labels" lists'),
    ],
)
def test_names_labels_that_the_model_does_not_know(settings: dict[str, Any], hint: str) -> None:
    [problem] = rules.problems([Rule(camera="front", **settings)], KNOWN)
    assert problem.startswith(f"rule 1 (front): {hint}")


def test_accepts_labels_that_the_model_knows_and_any_of_own_code() -> None:
    rule = Rule(labels=("person",), label_map={"car": "vehicle"}, nothing_label="nobody")
    assert rules.problems([rule], KNOWN) == []
    assert rules.problems([Rule(labels=("gate open",))], None) == []


def test_names_a_rule_that_never_applies() -> None:
    [problem] = rules.problems([Rule(camera="a*"), Rule(camera="b"), Rule(camera="a*")], None)
    assert problem == 'rule 3 never applies: rule 1, camera = "a*", matches the same cameras'


@pytest.mark.parametrize(
    ("earlier", "later"), [("*a*", "a*"), ("*a*", "*a"), ("a*b*", "a*b"), ("*front*door*", "front*door")]
)
def test_names_a_rule_whose_cameras_an_earlier_pattern_takes(earlier: str, later: str) -> None:
    [problem] = rules.problems([Rule(camera=earlier), Rule(camera=later)], None)
    words = f'rule 2 never applies: rule 1, camera = "{earlier}", takes every camera that "{later}" matches'
    assert problem == f"{words}; put the later rule first"
    assert rules.problems([Rule(camera=later), Rule(camera=earlier)], None) == []


@pytest.mark.parametrize(("earlier", "later"), [("*", "**"), ("**", "*"), ("a**b", "a*b")])
def test_names_a_rule_with_the_same_cameras_in_other_words(earlier: str, later: str) -> None:
    [problem] = rules.problems([Rule(camera=earlier), Rule(camera=later)], None)
    assert problem == f'rule 2 never applies: rule 1, camera = "{earlier}", matches the same cameras'


MOST = 4
"""With at most so many characters, a pattern that ever applies does so for a camera of as few, of "abz"."""


def words(alphabet: str) -> list[str]:
    return ["".join(letters) for length in range(MOST + 1) for letters in product(alphabet, repeat=length)]


def named_exactly(table: list[str], cameras: list[str]) -> bool:
    """Return whether the rules that are said never to apply are those that apply to none of `cameras`."""
    rules_of = [Rule(camera=pattern, nothing_label=f"{number}") for number, pattern in enumerate(table, 1)]
    applied = {match(rules_of, camera).nothing_label for camera in cameras}
    expected = [f"rule {rule.nothing_label} never applies" for rule in rules_of if rule.nothing_label not in applied]
    return [problem.partition(":")[0] for problem in rules.problems(rules_of, None)] == expected


def test_of_two_rules_names_exactly_the_one_that_no_camera_has() -> None:
    assert [pair for pair in product(words("a*"), repeat=2) if not named_exactly(list(pair), words("az"))] == []


@given(st.lists(st.text("ab*", max_size=MOST), max_size=5))
def test_of_many_rules_names_exactly_those_that_no_camera_has(table: list[str]) -> None:
    assert named_exactly(table, words("abz"))
