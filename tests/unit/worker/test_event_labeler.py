"""Label an event's pictures and make its reply, on a thread of the label pool."""

import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from camiohookd.config.detail import Detail, Looking, Static
from camiohookd.config.rule import Rule
from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.monitoring.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labeler import EventLabeler, Interrupted
from camiohookd.worker.event_labels import EventLabels
from camiohookd.worker.static_finds import EVENTS
from tests.support.checkout import ROOT

CAT = (ROOT / "camiohookd" / "samples" / "chelsea.jpg").read_bytes()
PATIENCE = 30.0
GOOD, BAD = Picture("t1", CAT), Picture("t2", b"no picture")


class OneCat:
    """A labeler that finds a cat in every picture; `error` is raised instead."""

    device = "cpu"
    input_size = (300, 300)
    at_once = 1
    default_probability = 0.5
    error: Exception | None = None
    before_label: Callable[[], object] = staticmethod(lambda: None)

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self.input_size

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.before_label()
        if self.error:
            raise self.error
        return Findings([[Detection("cat", 0.9, Box(0, 0, 1, 1))] for _ in frames])

    def close(self) -> None:
        pass


def label(
    event_labeler: EventLabeler, pictures: Sequence[Picture], progress: Callable[[], None] = lambda: None
) -> EventLabels:
    event = event_labeler.event("front", lambda: pictures, progress)
    event.join()
    return event.done.result()


def rejected(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("camiohookd_pictures_rejected_total")


def test_leaves_out_and_counts_a_picture_that_cannot_be_decoded() -> None:
    metrics = Metrics()
    outcome = label(EventLabeler(OneCat(), PictureLimits(), [], metrics), [GOOD, BAD, BAD])
    assert (len(outcome.pictures), outcome.objects) == (1, 1)
    assert outcome.rejected == ("t2: the file is not a JPEG picture",) * 2
    assert rejected(metrics) == 2


def test_counts_the_rejected_pictures_of_an_event_without_usable_ones() -> None:
    metrics = Metrics()
    assert label(EventLabeler(OneCat(), PictureLimits(), [], metrics), [BAD]).reply is None
    assert rejected(metrics) == 1


def test_counts_a_rejected_picture_once_if_the_event_is_labeled_again() -> None:
    metrics, labeler = Metrics(), OneCat()
    event_labeler = EventLabeler(labeler, PictureLimits(), [], metrics)
    labeler.error = LabelingError("out of memory")
    with pytest.raises(LabelingError):
        label(event_labeler, [BAD, GOOD])
    labeler.error = None
    label(event_labeler, [BAD, GOOD])
    assert rejected(metrics) == 1


def test_an_interrupted_event_ends_with_interrupted_even_if_the_closed_labeler_fails() -> None:
    metrics, labeler = Metrics(), OneCat()
    event_labeler = EventLabeler(labeler, PictureLimits(), [], metrics)
    with pytest.raises(Interrupted):
        label(event_labeler, [BAD, GOOD], event_labeler.interrupt)
    event_labeler = EventLabeler(labeler, PictureLimits(), [], metrics)
    labeler.error, labeler.before_label = LabelingError("closed"), event_labeler.interrupt
    with pytest.raises(Interrupted):
        label(event_labeler, [GOOD])
    assert rejected(metrics) == 0


def test_reports_a_labeler_that_is_down_until_it_answers_again() -> None:
    labeler = OneCat()
    event_labeler = EventLabeler(labeler, PictureLimits(), [], Metrics())
    labeler.error = LabelerDown("no interpreter")
    with pytest.raises(LabelerDown):
        label(event_labeler, [GOOD])
    assert event_labeler.trouble == "no interpreter"
    labeler.error = None
    label(event_labeler, [GOOD])
    assert event_labeler.trouble is None


def test_threads_that_join_share_the_pictures_and_keep_their_order() -> None:
    pictures = [Picture(f"t{nth}", b"no picture" if nth == 1 else CAT) for nth in range(4)]
    labeler, meeting = OneCat(), threading.Barrier(3)
    labeler.before_label = lambda: meeting.wait(PATIENCE)
    event = EventLabeler(labeler, PictureLimits(), [], Metrics()).event("front", lambda: pictures, lambda: None)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            pool.submit(event.join)
        outcome = event.done.result(PATIENCE)
    assert outcome.reply is not None
    assert list(outcome.reply.labels) == ["t0", "t2", "t3"]
    assert outcome.rejected == ("t1: the file is not a JPEG picture",)


def test_an_event_ends_with_the_error_of_reading_its_pictures() -> None:
    def read() -> NoReturn:
        raise OSError("gone")

    event = EventLabeler(OneCat(), PictureLimits(), [], Metrics()).event("front", read, lambda: None)
    event.join()
    with pytest.raises(OSError, match="gone"):
        event.done.result(0)


class Batches(OneCat):
    """A labeler that takes many pictures at once, and notes how many it gets and how much memory they hold."""

    at_once = 16

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.sizes.append(len(frames))
        return super().label(frames, request)


def test_labels_decoded_pictures_before_it_waits_for_more_memory() -> None:
    """Four threads and pictures that do not fit all at once: every picture is labeled, and none waits for ever."""
    pictures = [Picture(f"t{nth:02}", CAT) for nth in range(40)]
    labeler = Batches()
    limits = PictureLimits(max_decoded_bytes=4_000_000)  # one picture takes 2.4 MB to decode and holds 0.5 MB
    event = EventLabeler(labeler, limits, [], Metrics()).event("front", lambda: pictures, lambda: None)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(event.join)
        outcome = event.done.result(PATIENCE)
    assert [picture.timestamp for picture in outcome.pictures] == [picture.timestamp for picture in pictures]
    assert sum(labeler.sizes) == 40
    assert max(labeler.sizes) < 16


def test_a_picture_that_alone_takes_more_memory_than_allowed_is_left_out() -> None:
    limits = PictureLimits(max_decoded_bytes=1_000_000)
    outcome = label(EventLabeler(OneCat(), limits, [], Metrics()), [GOOD])
    assert outcome.reply is None
    assert "takes too much memory" in outcome.rejected[0]
    assert "(setting images.max_decoded_bytes)" in outcome.rejected[0]


def test_reports_how_much_of_a_cut_picture_is_there() -> None:
    outcome = label(EventLabeler(OneCat(), PictureLimits(), [], Metrics()), [Picture("t1", CAT[:-2000])])
    assert outcome.reply is not None
    [text] = outcome.incomplete
    assert re.fullmatch(r"t1: incomplete: \d\d % of it", text)


class TwoKinds(OneCat):
    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        return Findings([[Detection("person", 0.917, None), Detection("car", 0.71, None)] for _ in frames])


def test_names_the_labels_that_are_sent_most_probable_first() -> None:
    assert label(EventLabeler(TwoKinds(), PictureLimits(), [], Metrics()), [GOOD]).summary() == "person 0.92, car 0.71"
    no_cars = [Rule(ignore_labels=("car", "person"))]
    assert label(EventLabeler(TwoKinds(), PictureLimits(), no_cars, Metrics()), [GOOD]).summary() == "nothing"


def test_applies_the_rule_once_to_each_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("camiohookd.rules.objection", lambda *arguments: calls.append(arguments))
    label(EventLabeler(TwoKinds(), PictureLimits(), [], Metrics()), [GOOD, GOOD])
    assert len(calls) == 4, "two detections in each of two pictures"


def test_hands_on_the_files_of_pictures_as_far_as_they_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = label(EventLabeler(OneCat(), PictureLimits(), [], Metrics()), [GOOD, BAD, GOOD])
    assert outcome.files == (CAT, CAT)
    monkeypatch.setattr("camiohookd.worker.event_labels.MAX_FILES_BYTES", len(CAT))
    outcome = label(EventLabeler(OneCat(), PictureLimits(), [], Metrics()), [GOOD, GOOD])
    assert outcome.files == (CAT, b"")


@pytest.mark.parametrize(("of_rule", "expected"), [(None, "2x2"), ("whole", "whole")])
def test_asks_for_the_detail_of_the_rule_or_else_of_the_settings(of_rule: Detail | None, expected: Detail) -> None:
    asked: list[Detail] = []

    class Asked(OneCat):
        def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
            asked.append(request.detail)
            return super().label(frames, request)

    event_labeler = EventLabeler(Asked(), PictureLimits(), [], Metrics())
    event_labeler.use([Rule(detail=of_rule)], Looking("2x2"))
    label(event_labeler, [GOOD])
    assert asked == [expected]


@pytest.mark.parametrize(
    ("static", "sent", "summary"),
    [("drop", 0, "nothing"), ("mark", 1, "cat 0.90 (always there)"), ("keep", 1, "cat 0.90")],
)
def test_what_is_always_there_is_left_out_marked_or_kept_as_the_settings_say(
    static: Static, sent: int, summary: str
) -> None:
    class SameCat(OneCat):
        def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
            return Findings([[Detection("cat", 0.9, Box(100, 50, 300, 250))] for _ in frames])

    event_labeler = EventLabeler(SameCat(), PictureLimits(), [], Metrics(), Looking("whole", static, ("cat",)))
    for _ in range(EVENTS):
        assert label(event_labeler, [GOOD, GOOD]).summary() == "cat 0.90"
    outcome = label(event_labeler, [GOOD])
    assert (outcome.objects, outcome.summary()) == (sent, summary)
    event_labeler.use([Rule(static="keep")], Looking("whole", static, ("cat",)))
    assert label(event_labeler, [GOOD]).summary() == "cat 0.90"
