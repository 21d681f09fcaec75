"""KServe's own server with the project's model. Argument: the port for HTTP.

Its numbers are slow in either form, so a second model takes pictures' files, and returns only what is likely. It takes
the files as base64: the server reads texts of the binary form as UTF-8, which a JPEG is not.
"""

import sys
from base64 import b64decode
from pathlib import Path

import kserve
from kserve import InferOutput, InferResponse

sys.path.insert(0, str(Path(__file__).parent))
from shipped import NAME, infer, infer_files, likely, port, session


class Ssd(kserve.Model):
    def __init__(self, name=NAME):
        super().__init__(name)
        self.session = session()
        self.ready = True

    def infer(self, pictures):
        return infer(self.session, pictures.as_numpy())

    async def get_input_types(self):
        return [{"name": "images", "datatype": "FP32", "shape": [-1, 3, 300, 300]}]

    async def get_output_types(self):
        return [
            {"name": "scores", "datatype": "FP32", "shape": [-1, -1, 90]},
            {"name": "boxes", "datatype": "FP32", "shape": [-1, -1, 4]},
        ]

    def predict(self, payload, headers=None, response_headers=None):
        outputs = []
        for name, value in self.infer(payload.inputs[0]).items():
            output = InferOutput(name=name, shape=list(value.shape), datatype="FP32")
            output.set_data_from_numpy(value)
            outputs.append(output)
        # Without the last two, KServe answers in JSON whatever is asked for.
        return InferResponse(
            model_name=self.name,
            infer_outputs=outputs,
            response_id=payload.id,
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


class SsdOnFiles(Ssd):
    async def get_input_types(self):
        return [{"name": "pictures", "datatype": "BYTES", "shape": [-1]}]

    def infer(self, pictures):
        return likely(infer_files(self.session, [b64decode(text) for text in pictures.data]))


if __name__ == "__main__":
    kserve.ModelServer(http_port=port(), enable_grpc=False, workers=1).start([Ssd(), SsdOnFiles(f"{NAME}-files")])
