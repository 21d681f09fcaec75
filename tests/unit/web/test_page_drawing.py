"""What is drawn over a picture, and how the status page says numbers, times and replies."""

import html
import itertools

from hypothesis import given
from hypothesis import strategies as st

from camiohookd.config.rule import Rule, Zone
from camiohookd.monitoring.history.views import PictureDetails
from camiohookd.pictures.detections import Box, Detection
from camiohookd.queue.task import Cause
from camiohookd.rules import Explained
from camiohookd.web.page import words
from camiohookd.web.page.drawing import drawing
from camiohookd.web.page.event import pretty
from camiohookd.web.page.login import own_path
from camiohookd.wire.reply import Label, Reply

SIDES = st.integers(1, 5000)
PLACES = st.floats(-1e4, 1e4)


def picture(width: int, height: int, *found: Explained) -> PictureDetails:
    return PictureDetails(0, "t", width, height, found, 0, True)


def test_an_object_without_a_box_is_drawn_around_its_outline_and_one_without_either_is_not() -> None:
    outline = ((0.5, 0.5), (0.75, 0.5), (0.75, 0.25), (0.5, 0.25))
    found = [Explained(Detection(name, 0.9, None, shape), name, None) for name, shape in (("a", outline), ("b", None))]
    [box] = drawing(picture(400, 200, *found), Rule(), all_objects=True).boxes
    assert (box.x, box.y, box.width, box.height, box.caption) == (200, 100, 100, 50, "a 0.90")


@given(SIDES, SIDES, st.lists(st.tuples(PLACES, PLACES, PLACES, PLACES), max_size=5), st.text(max_size=300))
def test_boxes_and_captions_stay_within_the_picture(
    width: int, height: int, boxes: list[tuple[float, float, float, float]], label: str
) -> None:
    found = [Explained(Detection(label, 0.5, Box(*box)), label, None) for box in boxes]
    drawn = drawing(picture(width, height, *found), Rule(), all_objects=True)
    assert len(drawn.boxes) == len(boxes)
    for box in drawn.boxes:
        assert 0 <= box.x <= width + 0.1 and 0 <= box.y <= height + 0.1
        assert box.x + box.width <= width + 0.2 and box.y + box.height <= height + 0.2
        assert box.text_x >= 0


def test_what_is_left_out_is_drawn_only_where_all_objects_are() -> None:
    sent = Explained(Detection("cat", 0.9, Box(1, 2, 30, 40)), "pet", None)
    out = Explained(Detection("dog", 0.2, Box(5, 6, 70, 80)), "dog", "below 0.4 for dog")
    flat = Explained(Detection("indoors", 0.8, None), "indoors", None)
    details = picture(100, 100, sent, out, flat)
    [box] = drawing(details, Rule(), all_objects=False).boxes
    assert (box.x, box.y, box.width, box.height, box.caption) == (1, 2, 29, 38, "pet 0.90")
    first, last = drawing(details, Rule(), all_objects=True).boxes
    assert (first.is_sent, last.is_sent, first.caption) == (False, True, "")
    assert drawing(details, Rule(), all_objects=False).in_words == "pet 0.90, indoors 0.80"


def test_zones_are_drawn_in_pixels() -> None:
    zone = Zone("drive", ((0.0, 0.5), (1.0, 0.5), (1.0, 1.0)))
    [drawn] = drawing(picture(200, 100), Rule(zone=(zone,)), all_objects=False).zones
    assert drawn.points == "0.0,50.0 200.0,50.0 200.0,100.0"


def test_captions_of_objects_side_by_side_do_not_lie_on_each_other() -> None:
    boxes = [Box(100 + 4 * nth, 100, 110 + 4 * nth, 140) for nth in range(4)]
    near = [Explained(Detection("person", 0.9 - nth / 10, box), "person", None) for nth, box in enumerate(boxes)]
    drawn = drawing(picture(640, 480, *near), Rule(), all_objects=False)
    lines = sorted(box.text_y for box in drawn.boxes)
    assert all(later - earlier >= drawn.letters for earlier, later in itertools.pairwise(lines))
    assert drawn.boxes[-1].text_y < drawn.boxes[-1].y, "the most probable one keeps its place"


@given(st.one_of(st.floats(), st.text(max_size=40)))
def test_any_time_is_written_as_safe_html(when: float | str) -> None:
    text = words.moment(when)
    assert text.startswith("<time ") or text == '<span class="nowrap">at an unknown time</span>'
    assert text.count("<") == 2


def test_every_cause_of_a_failure_has_a_title_and_advice() -> None:
    for cause in Cause:
        title, advice = words.cause(cause.value)
        assert title != cause.value and advice.endswith(".")
    assert words.cause("new") == ("new", "The reasons say more.")


def test_a_reply_is_written_with_a_line_for_each_label() -> None:
    reply = Reply({"t1": {"cat": Label(0.9, ((0.0, 0.0),)), "dog": Label(0.5)}, "t2": {}})
    assert pretty(reply) == (
        '{\n  "status": "success",\n  "labels": {\n    "t1": {\n'
        '      "cat": {"probability": 0.9, "polygon": [[0.0, 0.0]]},\n'
        '      "dog": {"probability": 0.5, "polygon": []}\n    },\n    "t2": {}\n  }\n}'
    )
    assert pretty(Reply(["cat"])) == '{\n  "status": "success",\n  "labels": ["cat"]\n}'
    assert pretty(None) == ""
    assert pretty(Reply(["x" * 30_000])).endswith("... (cut)")


@given(st.text(max_size=60))
def test_a_login_redirects_to_a_path_of_this_listener(address: str) -> None:
    path = own_path(address)
    assert path.startswith("/") and not path.startswith("//")
    assert html.unescape(path) == path or "&" in path
