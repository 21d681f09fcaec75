"""Run your compute_labels on Ray Serve, on as many processes or machines as it needs, for camiohookd.

    pip install "ray[serve]" pillow
    python ray_labels.py labeler.py --replicas 4 --port 8000 --host 0.0.0.0

labeler.py is a Python file with compute_labels(images), as for [labeler] kind = "python". On the camiohookd box:

    [labeler]
    kind = "remote"

    [labeler.remote]
    endpoints = ["http://this-machine:8000"]
    model_name = "labels"
    sends = "jpeg-for-labels"

It speaks the Open Inference Protocol (KServe v2): a tensor "pictures" (BYTES) with the files of an event's pictures
comes in, a tensor "labels" (BYTES) with one JSON text goes out. The timestamps are "0", "1", ... in the files' order.
Everyone who can reach the port can use it: keep it on a network of your own.
"""

import argparse
import base64
import io
import json
import runpy
import struct

import ray
from PIL import Image, ImageOps
from ray import serve
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

NAME = "labels"
HEAD = "Inference-Header-Content-Length"
CONTRACT = {
    "name": NAME,
    "platform": "ray",
    "inputs": [{"name": "pictures", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "labels", "datatype": "BYTES", "shape": [1]}],
}


@serve.deployment
class Labels:
    def __init__(self, script):
        self.compute_labels = runpy.run_path(script)["compute_labels"]

    async def __call__(self, request: Request):
        path = request.url.path
        if request.method == "GET" and path in ("/v2/health/ready", "/v2/health/live"):
            return Response()
        if request.method == "GET" and path == f"/v2/models/{NAME}":
            return JSONResponse(CONTRACT)
        if request.method == "POST" and path == f"/v2/models/{NAME}/infer":
            body = await request.body()
            try:
                return answer(body, request.headers.get(HEAD), self.compute_labels)
            except Exception as error:  # noqa: BLE001  # whatever compute_labels raises
                return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 500)
        return JSONResponse({"error": f"there is no {path}"}, 404)


def answer(body, head_length, compute_labels):
    head = int(head_length or len(body))
    message = json.loads(body[:head])
    [pictures] = message["inputs"]
    files = raw_files(body[head:]) if head_length else [base64.b64decode(each) for each in pictures["data"]]
    images = [{"timestamp": str(nth), "image": picture(file)} for nth, file in enumerate(files)]
    text = json.dumps(compute_labels(images) if images else {})
    output = {"name": "labels", "datatype": "BYTES", "shape": [1]}
    told = {"id": message.get("id", ""), "model_name": NAME, "outputs": [output]}
    if not message.get("parameters", {}).get("binary_data_output"):
        output["data"] = [text]
        return JSONResponse(told)
    raw = struct.pack("<I", len(text.encode())) + text.encode()
    output["parameters"] = {"binary_data_size": len(raw)}
    first = json.dumps(told).encode()
    return Response(first + raw, headers={HEAD: str(len(first))}, media_type="application/octet-stream")


def raw_files(data):
    """Each file comes as its length, four bytes with the lowest first, and then itself."""
    files = []
    while data:
        [length] = struct.unpack_from("<I", data)
        files.append(data[4 : 4 + length])
        data = data[4 + length :]
    return files


def picture(file):
    return ImageOps.exif_transpose(Image.open(io.BytesIO(file))).convert("RGB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script")
    parser.add_argument("--replicas", type=int, default=2)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--cpus", type=int, default=None, help="how many cores Ray may use  [default: all]")
    given = parser.parse_args()
    ray.init(num_cpus=given.cpus, include_dashboard=False)
    serve.start(http_options={"host": given.host, "port": given.port})
    labels = Labels.options(num_replicas=given.replicas, ray_actor_options={"num_cpus": 0.5})
    serve.run(labels.bind(given.script), name=NAME, route_prefix="/", blocking=True)


if __name__ == "__main__":
    main()
