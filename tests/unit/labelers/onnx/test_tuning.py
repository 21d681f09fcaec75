"""How many threads label is measured, not guessed."""

import time
from collections.abc import Callable

import pytest

from camiohookd.errors import LabelingError
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.tuning import (
    TURN_SECONDS,
    ThreadLayout,
    cores,
    cpu_shapes,
    device_shapes,
    fastest,
    throughput,
    usual_shape,
)
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection
from tests.support.checkout import ROOT

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"


@pytest.fixture(scope="module")
def labeler() -> OnnxLabeler:
    return open_onnx(SHIPPED)


@pytest.mark.parametrize(
    ("count", "shapes"),
    [(1, [(1, 1)]), (2, [(2, 1), (1, 2)]), (3, [(3, 1), (1, 2), (1, 3)]), (4, [(4, 1), (2, 2), (1, 4)])],
)
def test_on_the_cpu_no_shape_has_more_threads_than_there_are_cores(count: int, shapes: list[tuple[int, int]]) -> None:
    assert cpu_shapes(count) == shapes
    assert usual_shape(count) == shapes[0]


def test_a_device_is_called_by_one_two_or_as_many_threads_as_there_are_cores() -> None:
    assert device_shapes(4) == [(4, 1), (2, 1), (1, 1)]
    assert device_shapes(1) == [(1, 1)]


class Paced:
    """A labeler that takes its time; it stands for another in `throughput`."""

    input_size = (32, 32)

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def detect(self, picture: Decoded, min_probability: float | None = None) -> list[Detection]:
        if self._seconds < 0:
            raise LabelingError("broken")
        time.sleep(self._seconds)
        return []


def paced(seconds: dict[ThreadLayout, float]) -> Callable[[ThreadLayout], OnnxLabeler]:
    return lambda shape: Paced(seconds[shape])  # type: ignore[return-value]  # see there


A, B, C = ThreadLayout(2, 1), ThreadLayout(1, 2), ThreadLayout(1, 1)


def test_the_shape_that_labels_most_is_taken() -> None:
    assert fastest([A, B], paced({A: 0.04, B: 0.005})) == B
    assert fastest([A, B], paced({A: 0.005, B: 0.04})) == A


def test_the_usual_shape_is_kept_where_another_is_hardly_faster() -> None:
    assert fastest([A, C], paced({A: 0.04, C: 0.0195})) == A


class Disturbed(Paced):
    """It is five times as slow at first."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self._disturbed_until = time.monotonic() + TURN_SECONDS

    def detect(self, picture: Decoded, min_probability: float | None = None) -> list[Detection]:
        if time.monotonic() < self._disturbed_until:
            time.sleep(4 * self._seconds)
        return super().detect(picture, min_probability)


def test_what_disturbs_one_measurement_decides_nothing() -> None:
    labelers: dict[ThreadLayout, Paced] = {A: Disturbed(0.01), B: Paced(0.01)}
    assert fastest([A, B], lambda shape: labelers[shape]) == A  # type: ignore[arg-type,return-value]  # see `Paced`


def test_a_single_shape_is_not_measured() -> None:
    assert fastest([C], paced({})) == C


def test_a_shape_that_does_not_run_is_not_taken_and_the_usual_one_must() -> None:
    assert fastest([A, B], paced({A: 0.01, B: -1})) == A
    with pytest.raises(LabelingError, match="broken"):
        fastest([A, B], paced({A: -1, B: 0.01}))


def test_each_shape_is_measured_on_the_real_model(labeler: OnnxLabeler, print_figure: Callable[[str], None]) -> None:
    """What the default rests on; figures alone, because this machine may be busy."""
    count = cores()
    wide = open_onnx(SHIPPED, lambda model, name: open_session(model, name, intra_op=count))
    spinning = open_onnx(SHIPPED, lambda model, name: open_session(model, name, intra_op=count, spinning=True))
    narrow, broad, busy = throughput(labeler, count), throughput(wide, 1), throughput(spinning, 1)
    print_figure(
        f"threads, {count} cores: {narrow:.0f} pictures/s by {count} threads on one session of 1, {broad:.0f} by 1 "
        f"thread on a session of {count}, {busy:.0f} spinning"
    )
    assert min(narrow, broad, busy) > 0
