"""Measure how many pictures a second a labeler labels."""

from collections.abc import Callable

import pytest

from camiohookd.errors import LabelingError
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.throughput import cores, throughput
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Detection
from tests.support.checkout import ROOT

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"


class Broken:
    """A labeler that fails at the second picture."""

    input_size = (32, 32)

    def __init__(self) -> None:
        self._seen = 0

    def detect(self, picture: Decoded, min_probability: float | None = None) -> list[Detection]:
        self._seen += 1
        if self._seen > 1:
            raise LabelingError("broken")
        return []


def test_raises_what_the_labeler_raises() -> None:
    with pytest.raises(LabelingError, match="broken"):
        throughput(Broken(), 2)  # type: ignore[arg-type]  # it stands for an OnnxLabeler


def test_measures_the_usual_threads_and_others(print_figure: Callable[[str], None]) -> None:
    """Print the figures behind the default number of threads. Assert nothing, because this machine may be busy."""
    count = cores()
    usual = open_onnx(SHIPPED)
    wide = open_onnx(SHIPPED, lambda model, name: open_session(model, name, intra_op=count))
    narrow, broad = throughput(usual, count), throughput(wide, 1)
    print_figure(
        f"threads, {count} cores: {narrow:.0f} pictures/s by {count} threads on one session of 1, {broad:.0f} by 1 "
        f"thread on a session of {count}"
    )
    assert min(narrow, broad) > 0
