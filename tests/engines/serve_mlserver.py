"""MLServer with the project's model, as a runtime of its own. Arguments: the ports for HTTP, gRPC and metrics.

Since it only speaks JSON, a second model takes pictures' files, and returns only what is likely: both are short.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from mlserver import MLModel
from mlserver.codecs import Base64Codec, NumpyCodec
from mlserver.types import InferenceResponse
from shipped import NAME, infer, infer_files, likely, port, session


class Ssd(MLModel):
    async def load(self):
        self.session = session()
        return True

    def infer(self, pictures):
        return infer(self.session, NumpyCodec.decode_input(pictures))

    async def predict(self, payload):
        outputs = self.infer(payload.inputs[0])
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            outputs=[NumpyCodec.encode_output(name, value) for name, value in outputs.items()],
        )


class SsdOnFiles(Ssd):
    def infer(self, pictures):
        return likely(infer_files(self.session, Base64Codec.decode_input(pictures)))


if __name__ == "__main__":
    settings = {"host": "127.0.0.1", "http_port": port(), "grpc_port": int(sys.argv[2]), "parallel_workers": 0}
    settings |= {"metrics_port": int(sys.argv[3]), "metrics_endpoint": None, "debug": False}
    outputs = [
        {"name": "scores", "datatype": "FP32", "shape": [-1, -1, 90]},
        {"name": "boxes", "datatype": "FP32", "shape": [-1, -1, 4]},
    ]
    models = {
        NAME: ("Ssd", {"name": "images", "datatype": "FP32", "shape": [-1, 3, 300, 300]}),
        f"{NAME}-files": ("SsdOnFiles", {"name": "pictures", "datatype": "BYTES", "shape": [-1]}),
    }
    folder = Path(tempfile.mkdtemp(prefix="mlserver."))
    (folder / "settings.json").write_text(json.dumps(settings))
    for name, (kind, pictures) in models.items():
        model = {"name": name, "implementation": f"serve_mlserver.{kind}", "inputs": [pictures], "outputs": outputs}
        (folder / name).mkdir()
        (folder / name / "model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    program = Path(sys.executable).with_name("mlserver")
    os.execv(program, [str(program), "start", str(folder)])  # noqa: S606  # the environment's own program
