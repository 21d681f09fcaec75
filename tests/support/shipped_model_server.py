"""``python -m tests.support.shipped_model_server``: serve the project's model until stdin ends, and print the URL.

Arguments: "binary" or "JSON", the forms that it speaks; "jpeg", to take pictures' files.
"""

import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Any

import numpy as np

from camiohookd.labelers import model
from camiohookd.labelers.onnx.session import open_session
from camiohookd.labelers.onnx.tensors import tensor
from camiohookd.pictures.decode import PictureLimits, decode
from tests.support.checkout import ROOT
from tests.support.inference_server import Compute, Described, InferenceServer

FOLDER = ROOT / "models/ssdlite-mobilenet-v2-coco"
INPUT = Described("images", "FP32", (-1, 3, 300, 300))
FILES = Described("images", "BYTES", (-1,))
OUTPUTS = (Described("scores", "FP32", (-1, -1, 90)), Described("boxes", "FP32", (-1, -1, 4)))


def shipped_model() -> Compute:
    """Return the model as a function of a batch of pictures, or of a list of files."""
    description = model.load_description(FOLDER)
    session = open_session(model.read_model(FOLDER, description), "shipped")
    names = [each.name for each in OUTPUTS]
    size = (description.input.width, description.input.height)

    def run(value: Any) -> Mapping[str, Any]:
        if isinstance(value, list):
            images = [decode(file, PictureLimits(), size).image for file in value]
            value = tensor(images, description.input)
        each = [session.run(names, {description.input.name: row[None]}) for row in value]
        return {name: np.concatenate([outputs[nth] for outputs in each]) for nth, name in enumerate(names)}

    return run


def serve(compute: Compute, *, files: bool) -> InferenceServer:
    return InferenceServer(compute, [FILES if files else INPUT], OUTPUTS, name=FOLDER.name)


def main() -> None:
    with closing(serve(shipped_model(), files="jpeg" in sys.argv)) as server:
        server.speaks_binary = "JSON" not in sys.argv
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
