"""Triton, by PyTriton, with the project's model. Arguments: the port for HTTP, and one for gRPC."""

import sys
from pathlib import Path

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

sys.path.insert(0, str(Path(__file__).parent))
from shipped import NAME, infer, infer_files, likely, port, session

model = session()


@batch
def run(images):
    return infer(model, images)


@batch
def run_on_bytes(images):
    return likely(infer(model, images))


@batch
def run_on_files(pictures):
    return infer_files(model, [file for [file] in pictures])


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
    f"{NAME}-bytes": (run_on_bytes, Tensor(name="images", dtype=np.uint8, shape=(3, 300, 300))),
    NAME: (run, Tensor(name="images", dtype=np.float32, shape=(3, 300, 300))),
}
with Triton(config=config) as triton:
    for name, (function, picture) in models.items():
        triton.bind(name, function, [picture], outputs, config=ModelConfig(max_batch_size=4), strict=False)
    triton.serve()
