"""Triton, by PyTriton, with the project's model. Arguments: the port for HTTP, and two for what is not used."""

import sys
from pathlib import Path

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

sys.path.insert(0, str(Path(__file__).parent))
from shipped import NAME, infer, port, session

model = session()


@batch
def run(images):
    return infer(model, images)


config = TritonConfig(
    http_address="127.0.0.1",
    http_port=port(),
    grpc_address="127.0.0.1",
    grpc_port=int(sys.argv[2]),
    allow_metrics=False,
    log_verbose=0,
)
with Triton(config=config) as triton:
    triton.bind(
        model_name=NAME,
        infer_func=run,
        inputs=[Tensor(name="images", dtype=np.float32, shape=(3, 300, 300))],
        outputs=[
            Tensor(name="scores", dtype=np.float32, shape=(-1, -1)),
            Tensor(name="boxes", dtype=np.float32, shape=(-1, 4)),
        ],
        config=ModelConfig(max_batch_size=4),
        strict=False,
    )
    triton.serve()
