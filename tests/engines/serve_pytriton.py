"""Triton, by PyTriton, with the project's model. Arguments: the port for HTTP, and one for gRPC."""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

sys.path.insert(0, str(Path(__file__).parent))
from shipped import NAME, infer, port, session

model = session()


@batch
def run(images):
    return infer(model, images)


@batch
def run_on_files(pictures):
    images = [decoded(file) for [file] in pictures]
    return infer(model, [np.asarray(image, np.float32).transpose(2, 0, 1) for image in images])


def decoded(file, size=(300, 300)):
    """Decode and scale as the box does: docs/remote.md has these lines."""
    image = Image.open(io.BytesIO(file))
    image.draft(None, size)
    image = image.convert("RGB")
    factor = min(image.width // size[0], image.height // size[1])
    if factor > 1:
        image = image.reduce(factor)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


config = TritonConfig(
    http_address="127.0.0.1",
    http_port=port(),
    grpc_address="127.0.0.1",
    grpc_port=int(sys.argv[2]),
    allow_metrics=False,
    log_verbose=0,
)
outputs = [
    Tensor(name="scores", dtype=np.float32, shape=(-1, -1)),
    Tensor(name="boxes", dtype=np.float32, shape=(-1, 4)),
]
models = {
    f"{NAME}-files": (run_on_files, Tensor(name="pictures", dtype=bytes, shape=(1,))),
    NAME: (run, Tensor(name="images", dtype=np.float32, shape=(3, 300, 300))),
}
with Triton(config=config) as triton:
    for name, (function, picture) in models.items():
        triton.bind(name, function, [picture], outputs, config=ModelConfig(max_batch_size=4), strict=False)
    triton.serve()
