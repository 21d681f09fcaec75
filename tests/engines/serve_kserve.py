"""KServe's own server with the project's model. Argument: the port for HTTP."""

import sys
from pathlib import Path

import kserve
from kserve import InferOutput, InferResponse

sys.path.insert(0, str(Path(__file__).parent))
from shipped import NAME, infer, port, session


class Ssd(kserve.Model):
    def __init__(self):
        super().__init__(NAME)
        self.session = session()
        self.ready = True

    async def get_input_types(self):
        return [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 300, 300]}]

    async def get_output_types(self):
        return [
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1, 90]},
            {"name": "boxes", "datatype": "FP32", "shape": [-1, -1, 4]},
        ]

    def predict(self, payload, headers=None, response_headers=None):
        outputs = []
        for name, value in infer(self.session, payload.inputs[0].as_numpy()).items():
            output = InferOutput(name=name, shape=list(value.shape), datatype="FP32")
            output.set_data_from_numpy(value)
            outputs.append(output)
        # Without the last two, KServe answers in JSON whatever is asked for.
        return InferResponse(
            model_name=NAME,
            infer_outputs=outputs,
            response_id=payload.id,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    kserve.ModelServer(http_port=port(), enable_grpc=False, workers=1).start([Ssd()])
