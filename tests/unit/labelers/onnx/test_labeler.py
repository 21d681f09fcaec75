"""Load a model only if it matches its description and runs, and find objects in pictures."""

import hashlib
import io
import re
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers import DEFAULT_REQUEST
from camiohookd.labelers.onnx.labeler import OnnxLabeler, open_onnx
from camiohookd.labelers.onnx.session import OnnxSession
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection
from tests.support.checkout import ROOT

SHIPPED = ROOT / "models/ssdlite-mobilenet-v2-coco"
SAMPLES = ROOT / "camiohookd/samples"
YOLOX = ROOT.parent / "shared/models/yolox_nano_416_coco.onnx"
CAT = (SAMPLES / "chelsea.jpg").read_bytes()


@pytest.fixture(scope="module")
def labeler() -> OnnxLabeler:
    return open_onnx(SHIPPED)


def overlap(a: Box, b: Box) -> float:
    shared = max(0.0, min(a.right, b.right) - max(a.left, b.left)) * max(
        0.0, min(a.bottom, b.bottom) - max(a.top, b.top)
    )
    return shared / (area(a) + area(b) - shared)


def area(box: Box) -> float:
    return (box.right - box.left) * (box.bottom - box.top)


def best(found: Iterable[Detection], label: str) -> Box:
    box = next(one.box for one in found if one.label == label)
    assert box is not None
    return box


@pytest.mark.parametrize("size", [(640, 480), (704, 576), (1280, 720), (1920, 1080), (2592, 1944), (3840, 2160)])
def test_decodes_the_usual_sizes_of_cameras_at_little_more_than_the_models_input(
    labeler: OnnxLabeler, size: tuple[int, int]
) -> None:
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "JPEG")
    image = decode(file.getvalue(), PictureLimits(), labeler.decode_size(DEFAULT_REQUEST)).image
    assert 240 <= image.height <= 360


@pytest.mark.parametrize(
    ("sample", "label"),
    [("chelsea", "cat"), ("motorcycle_left", "motorcycle"), ("astronaut", "person"), ("coffee", "cup")],
)
def test_finds_the_objects_in_the_sample_pictures(labeler: OnnxLabeler, sample: str, label: str) -> None:
    picture = decode((SAMPLES / f"{sample}.jpg").read_bytes(), PictureLimits(), labeler.input_size)
    found = labeler.detect(picture)
    assert found[0].label == label
    for detection in found:
        assert 0.4 <= detection.probability <= 1
        assert detection.box is not None
        assert 0 <= detection.box.left < detection.box.right <= picture.width
        assert 0 <= detection.box.top < detection.box.bottom <= picture.height


def test_returns_the_most_probable_detections_first(labeler: OnnxLabeler) -> None:
    found = labeler.detect(decode(CAT, PictureLimits(), labeler.input_size), 0.01)
    assert len(found) > 3
    assert found == sorted(found, key=lambda one: -one.probability)


def test_a_lower_threshold_adds_detections_and_changes_none(labeler: OnnxLabeler) -> None:
    picture = decode((SAMPLES / "coffee.jpg").read_bytes(), PictureLimits(), labeler.input_size)
    usual, more = labeler.detect(picture), labeler.detect(picture, 0.1)
    assert more[: len(usual)] == usual
    assert len(more) > len(usual)


def test_boxes_refer_to_the_displayed_picture_for_every_exif_orientation(labeler: OnnxLabeler) -> None:
    upright = Image.open(io.BytesIO(CAT))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation 6: rotate by 90 degrees clockwise to display
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif, quality=95)
    expected = best(labeler.detect(decode(CAT, PictureLimits(), labeler.input_size)), "cat")
    found = best(labeler.detect(decode(file.getvalue(), PictureLimits(), labeler.input_size)), "cat")
    assert overlap(expected, found) > 0.9


def test_boxes_of_a_12_megapixel_picture_refer_to_its_full_size(labeler: OnnxLabeler) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(CAT)).resize((4510, 3000)).save(file, "JPEG")
    picture = decode(file.getvalue(), PictureLimits(), labeler.input_size)
    expected = best(labeler.detect(decode(CAT, PictureLimits(), labeler.input_size)), "cat")
    found = best(labeler.detect(picture), "cat")
    assert picture.image.width < 1000
    assert overlap(Box(*(10 * side for side in expected)), found) > 0.9


def test_threads_that_share_a_labeler_get_the_same_results(labeler: OnnxLabeler) -> None:
    pictures = [
        decode(file.read_bytes(), PictureLimits(), labeler.input_size) for file in sorted(SAMPLES.glob("*.jpg"))
    ] * 5
    alone = [labeler.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(labeler.detect, pictures)) == alone


def described(folder: Path, model: bytes, description: str) -> Path:
    """Make a model's folder whose description has the right file and sha256."""
    given = tomllib.loads(description)
    description = description.replace(given["sha256"], hashlib.sha256(model).hexdigest())
    (folder / "model.toml").write_text(description)
    (folder / given["file"]).write_bytes(model)
    return folder


SHIPPED_DESCRIPTION = (SHIPPED / "model.toml").read_text()


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('name = "images"', 'name = "image"', "the model's inputs are images; model.toml expects image"),
        (
            "width = 300",
            "width = 320",
            r"input 'images' is tensor.* \[1, 3, 300, 300\]; model.toml expects tensor.* \[any, 3, 300, 320\]",
        ),
        ('decoder = "ssd"', 'decoder = "yolox"', "the model's outputs are scores, boxes; model.toml expects output"),
        (
            '"person", ',
            "",
            r"'scores' is .* \[1, 1917, 90\]; model.toml expects tensor\(float\) or .* \[any, any, 89\]",
        ),
    ],
)
def test_refuses_a_model_that_differs_from_its_description(
    tmp_path: Path, right: str, wrong: str, complaint: str
) -> None:
    model = (SHIPPED / "ssdlite_mobilenet_v2_coco_int8.onnx").read_bytes()
    folder = described(tmp_path, model, SHIPPED_DESCRIPTION.replace(right, wrong, 1))
    with pytest.raises(ModelError, match=complaint):
        open_onnx(folder)


def test_refuses_a_file_that_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the model"):
        open_onnx(described(tmp_path, b"no model", SHIPPED_DESCRIPTION))


def test_refuses_a_damaged_model_before_loading_it(tmp_path: Path) -> None:
    folder = described(tmp_path, b"no model", SHIPPED_DESCRIPTION)
    (folder / "ssdlite_mobilenet_v2_coco_int8.onnx").write_bytes(b"another")
    with pytest.raises(ModelError, match="its sha256 is"):
        open_onnx(folder)


# Minimal ONNX models (field numbers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto): two Reshapes of an input
# with open sides, so that a wrong shape shows only when the model runs.
def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    value %= 1 << 64
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def value_info(name: str, *lengths: int | str) -> bytes:
    dimensions = b"".join(field(1, field(1 if isinstance(length, int) else 2, length)) for length in lengths)
    return field(1, name) + field(2, field(1, field(1, 1) + field(2, dimensions)))


def reshape(output: str, *shape: int) -> tuple[bytes, bytes]:
    """Return a node, and the initializer with its shape."""
    node = field(1, "images") + field(1, f"{output} shape") + field(2, output) + field(4, "Reshape")
    lengths = b"".join(varint(length) for length in shape)
    return node, field(1, len(shape)) + field(2, 7) + field(7, lengths) + field(8, f"{output} shape")


def reshaping_model(scores: tuple[int, ...], boxes: tuple[int, ...]) -> bytes:
    nodes, shapes = zip(reshape("scores", *scores), reshape("boxes", *boxes), strict=True)
    graph = b"".join(field(1, node) for node in nodes) + field(2, "g") + b"".join(field(5, shape) for shape in shapes)
    graph += field(11, value_info("images", 1, 3, "height", "width"))
    graph += field(12, value_info("scores", 1, "n", "m")) + field(12, value_info("boxes", 1, "k", 4))
    return field(1, 8) + field(7, graph) + field(8, field(2, 17))


SMALL = SHIPPED_DESCRIPTION.replace("width = 300", "width = 2").replace("height = 300", "height = 2")
TWO_LABELS = re.sub(r"(?s)\nlabels = \[.*?\n\]", '\nlabels = ["cat", "dog"]', SMALL)


def test_a_model_that_cannot_run_fails_its_warm_up(tmp_path: Path) -> None:
    odd = TWO_LABELS.replace("width = 2", "width = 3").replace("height = 2", "height = 3")  # 27 values, in pairs
    folder = described(tmp_path, reshaping_model((1, -1, 2), (1, -1, 4)), odd)
    with pytest.raises(ModelError, match="failed its warm-up: ONNX Runtime"):
        open_onnx(folder)


def test_a_model_whose_output_has_another_shape_fails_its_warm_up(tmp_path: Path) -> None:
    folder = described(tmp_path, reshaping_model((1, 0, -1), (1, -1, 4)), TWO_LABELS)
    with pytest.raises(ModelError, match=r"failed its warm-up: .*'scores' .* \[1, 3, 4\], expected \[1, any, 2\]"):
        open_onnx(folder)


def test_accepts_a_model_with_open_lengths_if_its_warm_up_succeeds(tmp_path: Path) -> None:
    labeler = open_onnx(described(tmp_path, reshaping_model((1, -1, 2), (1, -1, 4)), TWO_LABELS))
    assert labeler.input_size == (2, 2)


def test_a_failed_run_is_a_labeling_error_not_one_of_onnx_runtime(tmp_path: Path) -> None:
    opened = open_onnx(described(tmp_path, reshaping_model((1, -1, 2), (1, -1, 4)), TWO_LABELS))
    assert isinstance(opened._runner, OnnxSession)
    opened._runner._session = BrokenSession()
    with pytest.raises(LabelingError, match="ONNX Runtime: out of memory"):
        opened.detect(Decoded(Image.new("RGB", (2, 2)), 2, 2))


class BrokenSession:
    """A session of ONNX Runtime that fails. A real one cannot be made to fail after its warm-up."""

    def run(self, outputs: list[str], inputs: dict[str, object]) -> None:
        raise RuntimeError("out of memory")


def test_yolox_finds_the_objects_in_the_sample_pictures(tmp_path: Path) -> None:
    if not YOLOX.exists():  # its license does not let us ship this model
        pytest.skip(f"NOT TESTED: YOLOX on real pictures, because {YOLOX} is not there")
    names = '", "'.join(label for label in tomllib.loads(SHIPPED_DESCRIPTION)["labels"] if label)
    description = f"""
task = "detection"
decoder = "yolox"
file = "yolox.onnx"
sha256 = "{"0" * 64}"
licence = "Apache-2.0"
source = "https://github.com/Megvii-BaseDetection/YOLOX"
labels = ["{names}"]
[input]
name = "images"
width = 416
height = 416
layout = "NCHW"
color_order = "BGR"
range = "0..255"
resize = "letterbox"
[thresholds]
score = 0.4
iou = 0.6
"""
    yolox, ssd = open_onnx(described(tmp_path, YOLOX.read_bytes(), description)), open_onnx(SHIPPED)
    for sample, label in [("chelsea", "cat"), ("motorcycle_left", "motorcycle"), ("coffee", "cup")]:
        data = (SAMPLES / f"{sample}.jpg").read_bytes()
        found = yolox.detect(decode(data, PictureLimits(), yolox.input_size))
        expected = ssd.detect(decode(data, PictureLimits(), ssd.input_size))
        assert overlap(best(found, label), best(expected, label)) > 0.7
