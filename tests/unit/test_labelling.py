"""An event's pictures → its reply, on a thread of the label pool."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from camiohookd.detections import Box, Detection
from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.images import Limits
from camiohookd.labelers import Findings, Frame
from camiohookd.labelling import Interrupted, Labelling
from camiohookd.metrics import Metrics
from camiohookd.payload import Picture

CAT = (Path(__file__).parents[2] / "camiohookd" / "samples" / "chelsea.jpg").read_bytes()
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


def rejected(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("camiohookd_pictures_rejected_total")


def test_a_picture_that_cannot_be_decoded_is_left_out_with_its_reason_and_counted() -> None:
    metrics = Metrics()
    outcome = Labelling(OneCat(), Limits(), [], metrics).label("front", [GOOD, BAD, BAD], lambda: None)
    assert (outcome.labelled, outcome.found) == (1, 1)
    assert outcome.rejected == ("t2: the file is not a JPEG picture",) * 2
    assert rejected(metrics) == 2


def test_the_pictures_of_an_event_that_nothing_is_left_of_are_counted_too() -> None:
    metrics = Metrics()
    assert Labelling(OneCat(), Limits(), [], metrics).label("front", [BAD], lambda: None).reply is None
    assert rejected(metrics) == 1


def test_what_was_left_out_of_an_event_that_is_begun_anew_is_counted_once() -> None:
    metrics, labeler = Metrics(), OneCat()
    labelling = Labelling(labeler, Limits(), [], metrics)
    labeler.error = LabelingError("out of memory")
    with pytest.raises(LabelingError):
        labelling.label("front", [BAD, GOOD], lambda: None)
    labeler.error = None
    labelling.label("front", [BAD, GOOD], lambda: None)
    assert rejected(metrics) == 1


def test_what_is_interrupted_ends_as_that_also_where_the_labeler_fails_for_being_closed() -> None:
    metrics, labeler = Metrics(), OneCat()
    labelling = Labelling(labeler, Limits(), [], metrics)
    with pytest.raises(Interrupted):
        labelling.label("front", [BAD, GOOD], labelling.interrupt)
    labelling = Labelling(labeler, Limits(), [], metrics)
    labeler.error, labeler.before_label = LabelingError("closed"), labelling.interrupt
    with pytest.raises(Interrupted):
        labelling.label("front", [GOOD], lambda: None)
    assert rejected(metrics) == 0


def test_a_labeler_that_is_down_is_told_until_it_answers_again() -> None:
    labeler = OneCat()
    labelling = Labelling(labeler, Limits(), [], Metrics())
    labeler.error = LabelerDown("no interpreter")
    with pytest.raises(LabelerDown):
        labelling.label("front", [GOOD], lambda: None)
    assert labelling.trouble == "no interpreter"
    labeler.error = None
    labelling.label("front", [GOOD], lambda: None)
    assert labelling.trouble is None
