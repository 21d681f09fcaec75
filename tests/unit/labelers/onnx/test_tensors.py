"""Convert pixels to the model's input, and its boxes back to the picture, as `model.toml` says."""

from typing import Any, Literal

import msgspec
import numpy as np
import pytest
from PIL import Image

from camiohookd.labelers.decoders import Candidates
from camiohookd.labelers.model import Input
from camiohookd.labelers.onnx.tensors import in_picture, tensor
from camiohookd.pictures.decode import Decoded

RED, GRAY = (200, 10, 20), (114, 114, 114)


def model_input(resize: str = "stretch", width: int = 40, **more: Any) -> Input:
    given = {"name": "images", "width": width, "height": 20, "color_order": "RGB", "range": "0..255", "resize": resize}
    return msgspec.convert(given | more, Input)


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
    values = tensor([Image.new("RGB", (5, 9), RED)], model_input("stretch", color_order=color_order))
    assert values.shape == (1, 3, 20, 40)
    assert values.dtype == np.float32
    assert values.flags.c_contiguous
    assert values[0, :, 7, 11].tolist() == list(channels)


def test_a_stretched_picture_fills_the_input() -> None:
    assert (tensor([Image.new("RGB", (5, 90), RED)], model_input("stretch"))[0, 0] == RED[0]).all()


def test_a_letterboxed_picture_is_at_the_top_left_and_the_rest_is_gray() -> None:
    values = tensor([Image.new("RGB", (100, 100), RED)], model_input("letterbox"))[0]
    assert (values[:, :, :20] == np.reshape(RED, (3, 1, 1))).all()
    assert (values[:, :, 20:] == np.reshape(GRAY, (3, 1, 1))).all()


def test_a_very_thin_picture_keeps_a_pixel() -> None:
    assert tensor([Image.new("RGB", (2000, 1), RED)], model_input("letterbox"))[0, 0, 0, 0] == RED[0]


def test_a_box_of_a_stretched_picture_is_scaled_on_each_side() -> None:
    assert box_in_picture((10, 5, 20, 10), picture(400, 100), model_input("stretch")) == [[100, 25, 200, 50]]


def test_a_box_of_a_letterboxed_picture_is_scaled_alike_on_both_sides() -> None:
    assert box_in_picture((10, 5, 20, 10), picture(100, 100), model_input("letterbox")) == [[50, 25, 100, 50]]


def test_clips_a_box_to_the_picture() -> None:
    assert box_in_picture((-5, -5, 99, 99), picture(400, 100), model_input("stretch")) == [[0, 0, 400, 100]]


@pytest.mark.parametrize("outside", [(41, 0, 50, 10), (0, -9, 9, -1), (5, 5, 5, 9), (np.nan, 0, 9, 9)])
def test_drops_a_box_outside_the_picture(outside: tuple[float, float, float, float]) -> None:
    assert box_in_picture(outside, picture(400, 100), model_input("stretch")) == []


@pytest.mark.parametrize(
    ("value_range", "mean", "std", "expected"),
    [
        ("0..255", (0, 0, 0), (1, 1, 1), (200, 10, 20)),
        ("0..1", (0, 0, 0), (1, 1, 1), (200 / 255, 10 / 255, 20 / 255)),
        ("-1..1", (0, 0, 0), (1, 1, 1), (200 / 127.5 - 1, 10 / 127.5 - 1, 20 / 127.5 - 1)),
        ("0..255", (100, 10, 0), (50, 1, 4), (2, 0, 5)),
        ("0..1", (0.5, 0.5, 0.5), (0.25, 0.5, 1), ((200 / 255 - 0.5) / 0.25, (10 / 255 - 0.5) / 0.5, 20 / 255 - 0.5)),
    ],
)
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_scales_values_to_the_models_range(
    value_range: str, mean: tuple[float, ...], std: tuple[float, ...], expected: tuple[float, ...], layout: str
) -> None:
    used = model_input(range=value_range, mean=mean, std=std, layout=layout)
    values = tensor([Image.new("RGB", (5, 9), RED)] * 2, used)
    pixel = values[1, :, 7, 11] if layout == "NCHW" else values[1, 7, 11]
    assert pixel.tolist() == pytest.approx(list(expected), abs=1e-5)


def test_applies_mean_and_std_in_the_models_order_of_colors() -> None:
    values = tensor([Image.new("RGB", (5, 9), RED)], model_input(color_order="BGR", mean=(20, 10, 200)))
    assert not values.any()


def test_a_centered_letterbox_has_gray_on_both_sides() -> None:
    values = tensor([Image.new("RGB", (100, 100), RED)], model_input("letterbox-centred", padding=7))[0, 0]
    assert (values[:, 10:30] == RED[0]).all()
    assert (values[:, :10] == 7).all()
    assert (values[:, 30:] == 7).all()


def test_crops_a_picture_equally_at_both_sides() -> None:
    image = Image.new("RGB", (100, 100), RED)
    image.paste((0, 0, 0), (0, 0, 100, 20))
    image.paste((0, 0, 0), (0, 80, 100, 100))
    values = tensor([image], model_input("crop"))[0, 0]
    assert (values[1:-1] == RED[0]).all()


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "letterbox-centred", "crop"])
@pytest.mark.parametrize("sides", [(100, 100), (400, 100), (30, 90)])
def test_a_point_of_the_picture_maps_back_to_its_place(resize: str, sides: tuple[int, int]) -> None:
    """Place a white spot in a black picture, find it in the tensor, and map its box back."""
    image = Image.new("RGB", sides)
    middle, spot = (sides[0] / 2, sides[1] / 2), max(sides) // 8
    x, y = (round(each) for each in middle)
    image.paste((255, 255, 255), (x - spot, y - spot, x + spot, y + spot))
    used = model_input(resize, width=160, padding=0)
    white = np.argwhere(tensor([image], used)[0, 0] > 127)
    (top, left), (bottom, right) = white.min(axis=0).tolist(), (white.max(axis=0) + 1).tolist()
    (box,) = box_in_picture((left, top, right, bottom), picture(*sides), used)
    expected = (middle[0] - spot, max(middle[1] - spot, 0), middle[0] + spot, min(middle[1] + spot, sides[1]))
    if resize == "crop":
        visible = sides[0] * 20 / 160 / 2  # for a picture as wide as the input: half the height of a gray strip
        expected = (
            expected[0],
            max(expected[1], middle[1] - visible),
            expected[2],
            min(expected[3], middle[1] + visible),
        )
    assert box == pytest.approx(expected, abs=max(sides) / 16)


@pytest.mark.parametrize("kind", [np.float16, np.uint8])
def test_the_tensor_has_the_models_type(kind: type[np.generic]) -> None:
    values = tensor([Image.new("RGB", (5, 9), RED)], model_input(), kind)
    assert values.dtype == kind
    assert values[0, :, 0, 0].tolist() == list(RED)
