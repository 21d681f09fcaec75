"""Decode raw outputs to candidates, and suppress overlapping boxes."""

import math
from typing import get_args, get_type_hints

import click
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camiohookd.cli.models.add import add
from camiohookd.labelers.decoders import DECODERS, MAX_CANDIDATES, Candidates, Floats, decoder, suppress
from camiohookd.labelers.model import ModelDescription

NOT_MUCH = 1e-6


def test_model_toml_and_models_add_know_every_decoder() -> None:
    assert set(get_args(get_type_hints(ModelDescription)["decoder"])) == set(DECODERS)
    (option,) = (each for each in add.params if each.name == "decoder")
    assert isinstance(option.type, click.Choice)
    assert set(option.type.choices) == set(DECODERS)


def floats(*shape: int) -> Floats:
    return np.zeros(shape, np.float32)


def candidates(*rows: tuple[tuple[float, float, float, float], float, int]) -> Candidates:
    boxes, probabilities, labels = zip(*rows, strict=True)
    return Candidates(np.array(boxes, np.float32), np.array(probabilities, np.float32), np.array(labels, dtype=np.intp))


def test_ssd_returns_boxes_in_input_pixels_most_probable_first() -> None:
    scores, boxes = floats(3, 2), floats(3, 4)
    scores[0, 1], scores[2, 0], scores[1, 0] = 0.5, 0.8, 0.1
    boxes[0] = (0.25, 0.1, 0.5, 0.2)  # ymin, xmin, ymax, xmax
    boxes[2] = (0, 0, 1, 1)
    found = decoder("ssd", (300, 200), ["cat", "dog"], {})([scores, boxes], 0.4)
    assert found.labels.tolist() == [0, 1]
    assert found.probabilities.tolist() == pytest.approx([0.8, 0.5])
    assert np.allclose(found.boxes, [(0, 0, 300, 200), (30, 50, 60, 100)])


def test_one_ssd_box_with_two_probable_labels_is_two_candidates() -> None:
    scores = floats(1, 2)
    scores[0] = 0.6
    assert decoder("ssd", (300, 300), ["cat", "dog"], {})([scores, floats(1, 4)], 0.4).labels.tolist() == [0, 1]


def test_drops_outputs_without_a_label() -> None:
    scores = floats(1, 3)
    scores[0] = (0.6, 0.9, 0.5)
    assert decoder("ssd", (300, 300), ["cat", "", "dog"], {})([scores, floats(1, 4)], 0.4).labels.tolist() == [0, 2]


def test_returns_no_candidates_below_the_threshold() -> None:
    found = decoder("ssd", (300, 300), ["cat"], {})([floats(5, 1), floats(5, 4)], 0.4)
    assert found.boxes.shape == (0, 4)
    assert suppress(found, 0.6).boxes.shape == (0, 4)


def test_drops_nan_candidates() -> None:
    scores = np.full((5, 1), np.nan, np.float32)
    assert not len(decoder("ssd", (300, 300), ["cat"], {})([scores, floats(5, 4)], 0.0).labels)


def test_keeps_the_most_probable_candidates_up_to_the_limit() -> None:
    scores = np.linspace(0, 1, 3 * MAX_CANDIDATES, dtype=np.float32).reshape(-1, 1)
    found = decoder("ssd", (300, 300), ["cat"], {})([scores, floats(3 * MAX_CANDIDATES, 4)], 0.0)
    assert len(found.labels) == MAX_CANDIDATES
    assert (found.probabilities > 0.66).all()


@pytest.mark.parametrize(
    ("row", "cell", "stride"),
    [
        (0, (0, 0), 8),
        (1, (1, 0), 8),
        (12, (0, 1), 8),  # the first grid is 12 x 4 cells
        (48 + 6 + 2, (2, 1), 16),  # the second one 6 x 2
        (48 + 12 + 2, (2, 0), 32),  # the third one 3 x 1
    ],
)
def test_yolox_reads_rows_as_cells_of_three_grids(row: int, cell: tuple[int, int], stride: int) -> None:
    output = floats(48 + 12 + 3, 7)
    output[row] = (0.5, 0.25, math.log(2), math.log(4), 0.8, 0.1, 0.75)
    yolox = decoder("yolox", (96, 32), ["cat", "dog"], {})
    assert yolox.outputs == {"output": (None, *output.shape)}
    found = yolox([output], 0.5)
    x, y = (cell[0] + 0.5) * stride, (cell[1] + 0.25) * stride
    assert found.labels.tolist() == [1]
    assert found.probabilities.tolist() == pytest.approx([0.8 * 0.75])
    assert np.allclose(found.boxes, [(x - stride, y - 2 * stride, x + stride, y + 2 * stride)])


def test_yolox_compares_the_product_of_scores_with_the_threshold() -> None:
    output = floats(84, 6)
    output[0, 4:] = (0.9, 0.4)
    assert not len(decoder("yolox", (64, 64), ["cat"], {})([output], 0.4).labels)


def test_keeps_the_most_probable_of_overlapping_boxes_with_one_label() -> None:
    found = candidates(((0, 0, 10, 10), 0.9, 0), ((0, 0, 10, 9), 0.8, 0), ((20, 0, 30, 10), 0.7, 0))
    assert suppress(found, 0.6).probabilities.tolist() == pytest.approx([0.9, 0.7])


def test_boxes_of_two_labels_do_not_suppress_each_other() -> None:
    found = candidates(((0, 0, 10, 10), 0.9, 0), ((0, 0, 10, 10), 0.8, 1))
    assert suppress(found, 0.6).labels.tolist() == [0, 1]


def test_keeps_a_box_that_overlaps_exactly_by_the_threshold() -> None:
    found = candidates(((0, 0, 10, 10), 0.9, 0), ((0, 0, 10, 5), 0.8, 0))
    assert len(suppress(found, 0.5).labels) == 2
    assert len(suppress(found, 0.49).labels) == 1


def test_a_suppressed_box_suppresses_no_other() -> None:
    found = candidates(((0, 0, 10, 1), 0.9, 0), ((3, 0, 13, 1), 0.8, 0), ((6, 0, 16, 1), 0.7, 0))
    assert suppress(found, 0.5).probabilities.tolist() == pytest.approx([0.9, 0.7])


corner = st.integers(0, 20)
some_boxes = st.lists(
    st.tuples(corner, corner, st.integers(1, 20), st.integers(1, 20), st.integers(0, 2)), min_size=1, max_size=25
)


def overlap(a: Floats, b: Floats) -> float:
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


@settings(deadline=None)
@given(some_boxes, st.floats(0.1, 0.9))
def test_kept_boxes_do_not_overlap_and_each_dropped_box_overlaps_a_kept_one(
    drawn: list[tuple[int, int, int, int, int]], threshold: float
) -> None:
    count = len(drawn)
    found = candidates(
        *(((x, y, x + w, y + h), (count - i) / count, label) for i, (x, y, w, h, label) in enumerate(drawn))
    )
    kept = suppress(found, threshold)
    rows = list(zip(kept.boxes, kept.labels, kept.probabilities, strict=True))
    for i, (box, label, _) in enumerate(rows):
        assert all(overlap(box, other) <= threshold + NOT_MUCH for other, same, _ in rows[:i] if same == label)
    for box, label, probability in zip(found.boxes, found.labels, found.probabilities, strict=True):
        assert probability in kept.probabilities or any(
            overlap(box, other) >= threshold - NOT_MUCH and more > probability
            for other, same, more in rows
            if same == label
        )
