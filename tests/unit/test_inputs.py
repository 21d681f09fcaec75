"""Pixels reach the model, and its boxes come back to the picture, the way `model.toml` says."""

from typing import Literal

import numpy as np
import pytest
from PIL import Image

from camiohookd.images import Decoded
from camiohookd.labelers.decoders import Candidates
from camiohookd.labelers.inputs import in_picture, tensor
from camiohookd.labelers.model import Input

RED, GREY = (200, 10, 20), (114, 114, 114)


def model_input(
    resize: Literal["stretch", "letterbox"], color_order: Literal["RGB", "BGR"] = "RGB", width: int = 40
) -> Input:
    return Input("images", width, 20, "NCHW", color_order, "0..255", resize)


def box_in_picture(box: tuple[float, float, float, float], picture: Decoded, used: Input) -> list[list[float]]:
    found = Candidates(np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, np.intp))
    boxes: list[list[float]] = in_picture(found, picture, used).boxes.tolist()
    return boxes


def picture(width: int, height: int) -> Decoded:
    return Decoded(Image.new("RGB", (1, 1)), width, height)


@pytest.mark.parametrize(("color_order", "channels"), [("RGB", RED), ("BGR", RED[::-1])])
def test_the_tensor_has_the_channels_in_the_models_order_from_0_to_255(
    color_order: Literal["RGB", "BGR"], channels: tuple[int, int, int]
) -> None:
    values = tensor(Image.new("RGB", (5, 9), RED), model_input("stretch", color_order))
    assert values.shape == (1, 3, 20, 40)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert values[0, :, 7, 11].tolist() == list(channels)


def test_a_stretched_picture_fills_the_input() -> None:
    assert (tensor(Image.new("RGB", (5, 90), RED), model_input("stretch"))[0, 0] == RED[0]).all()


def test_a_letterboxed_picture_is_at_the_top_left_and_the_rest_is_grey() -> None:
    values = tensor(Image.new("RGB", (100, 100), RED), model_input("letterbox"))[0]
    assert (values[:, :, :20] == np.reshape(RED, (3, 1, 1))).all()
    assert (values[:, :, 20:] == np.reshape(GREY, (3, 1, 1))).all()


def test_a_very_thin_picture_keeps_a_pixel() -> None:
    assert tensor(Image.new("RGB", (2000, 1), RED), model_input("letterbox"))[0, 0, 0, 0] == RED[0]


def test_a_box_of_a_stretched_picture_is_scaled_on_each_side() -> None:
    assert box_in_picture((10, 5, 20, 10), picture(400, 100), model_input("stretch")) == [[100, 25, 200, 50]]


def test_a_box_of_a_letterboxed_picture_is_scaled_alike_on_both_sides() -> None:
    assert box_in_picture((10, 5, 20, 10), picture(100, 100), model_input("letterbox")) == [[50, 25, 100, 50]]


def test_a_box_is_cut_off_at_the_pictures_edges() -> None:
    assert box_in_picture((-5, -5, 99, 99), picture(400, 100), model_input("stretch")) == [[0, 0, 400, 100]]


@pytest.mark.parametrize("outside", [(41, 0, 50, 10), (0, -9, 9, -1), (5, 5, 5, 9), (np.nan, 0, 9, 9)])
def test_a_box_with_nothing_in_the_picture_is_dropped(outside: tuple[float, float, float, float]) -> None:
    assert box_in_picture(outside, picture(400, 100), model_input("stretch")) == []
