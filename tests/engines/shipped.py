"""The project's model with its two outputs, for the servers here; it imports nothing of the project."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints

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


def port() -> int:
    return int(sys.argv[1])
