"""The project's model with its two outputs, for the servers here; it imports nothing of the project."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints
from PIL import Image

NAME = "ssd"
FOLDER = Path(__file__).resolve().parents[2] / "models/ssdlite-mobilenet-v2-coco"


def session() -> Any:
    [file] = FOLDER.glob("*.onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def infer(model: Any, images: Any) -> dict[str, Any]:
    """Run the model on each picture of a batch."""
    each = [model.run(["scores", "boxes"], {"images": image[None]}) for image in np.asarray(images, np.float32)]
    return {name: np.concatenate([one[nth] for one in each]) for nth, name in enumerate(("scores", "boxes"))}


def infer_files(model: Any, files: Any) -> dict[str, Any]:
    """Run the model on pictures' files."""
    images = [decoded(file) for file in files]
    return infer(model, [np.asarray(image, np.float32).transpose(2, 0, 1) for image in images])


def decoded(file: bytes, size: tuple[int, int] = (300, 300)) -> Image.Image:
    """Decode and scale as the box does: docs/remote.md has these lines."""
    image: Image.Image = Image.open(io.BytesIO(file))
    image.draft(None, size)
    image = image.convert("RGB")
    factor = min(image.width // size[0], image.height // size[1])
    if factor > 1:
        image = image.reduce(factor)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def likely(outputs: dict[str, Any], least: float = 0.05) -> dict[str, Any]:
    """Return the places where a label has at least that probability, or the most likely one, as docs/remote.md has it.

    KServe's server cannot send an output without values.
    """
    most = outputs["scores"].max(axis=(0, 2))
    keep = most >= min(least, most.max())
    return {name: value[:, keep] for name, value in outputs.items()}


def port() -> int:
    return int(sys.argv[1])
