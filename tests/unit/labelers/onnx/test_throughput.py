"""Measure how many pictures a second a labeler labels."""

import pytest

from camiohookd.errors import LabelingError
from camiohookd.labelers.onnx.throughput import throughput
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
