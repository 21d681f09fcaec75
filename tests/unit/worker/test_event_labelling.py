"""An event's pictures → its reply, on a thread of the label pool."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import pytest

from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.labelers import Findings, Frame
from camiohookd.metrics import Metrics
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from camiohookd.worker.event_labelling import EventLabeler, EventLabels, Interrupted
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

    def label(self, frames: Sequence[Frame], min_probability: float | None = None) -> Findings:
        self.before_label()
        if self.error:
            raise self.error
        return Findings([[Detection("cat", 0.9, Box(0, 0, 1, 1))] for _ in frames])

    def close(self) -> None:
        pass


def label(
    labelling: EventLabeler, pictures: Sequence[Picture], progress: Callable[[], None] = lambda: None
) -> EventLabels:
    event = labelling.event("front", lambda: pictures, progress)
    event.join()
    return event.done.result()


def rejected(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("camiohookd_pictures_rejected_total")


def test_a_picture_that_cannot_be_decoded_is_left_out_with_its_reason_and_counted() -> None:
    metrics = Metrics()
    outcome = label(EventLabeler(OneCat(), PictureLimits(), [], metrics), [GOOD, BAD, BAD])
    assert (outcome.labelled, outcome.found) == (1, 1)
    assert outcome.rejected == ("t2: the file is not a JPEG picture",) * 2
    assert rejected(metrics) == 2


def test_the_pictures_of_an_event_that_nothing_is_left_of_are_counted_too() -> None:
    metrics = Metrics()
    assert label(EventLabeler(OneCat(), PictureLimits(), [], metrics), [BAD]).reply is None
    assert rejected(metrics) == 1


def test_what_was_left_out_of_an_event_that_is_begun_anew_is_counted_once() -> None:
    metrics, labeler = Metrics(), OneCat()
    labelling = EventLabeler(labeler, PictureLimits(), [], metrics)
    labeler.error = LabelingError("out of memory")
    with pytest.raises(LabelingError):
        label(labelling, [BAD, GOOD])
    labeler.error = None
    label(labelling, [BAD, GOOD])
    assert rejected(metrics) == 1


def test_what_is_interrupted_ends_as_that_also_where_the_labeler_fails_for_being_closed() -> None:
    metrics, labeler = Metrics(), OneCat()
    labelling = EventLabeler(labeler, PictureLimits(), [], metrics)
    with pytest.raises(Interrupted):
        label(labelling, [BAD, GOOD], labelling.interrupt)
    labelling = EventLabeler(labeler, PictureLimits(), [], metrics)
    labeler.error, labeler.before_label = LabelingError("closed"), labelling.interrupt
    with pytest.raises(Interrupted):
        label(labelling, [GOOD])
    assert rejected(metrics) == 0


def test_a_labeler_that_is_down_is_told_until_it_answers_again() -> None:
    labeler = OneCat()
    labelling = EventLabeler(labeler, PictureLimits(), [], Metrics())
    labeler.error = LabelerDown("no interpreter")
    with pytest.raises(LabelerDown):
        label(labelling, [GOOD])
    assert labelling.trouble == "no interpreter"
    labeler.error = None
    label(labelling, [GOOD])
    assert labelling.trouble is None


def test_the_pictures_of_an_event_are_looked_at_by_as_many_threads_as_join_and_stay_in_order() -> None:
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


def test_what_cannot_be_read_from_the_queue_is_what_the_event_ends_with() -> None:
    def read() -> NoReturn:
        raise OSError("gone")

    event = EventLabeler(OneCat(), PictureLimits(), [], Metrics()).event("front", read, lambda: None)
    event.join()
    with pytest.raises(OSError, match="gone"):
        event.done.result(0)
