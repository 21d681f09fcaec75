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
If other labelers come before, image["detections"] is what they found, in and out as a tensor "detections" (BYTES) with
one JSON text for each picture.
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
    "inputs": [
        {"name": "pictures", "datatype": "BYTES", "shape": [-1]},
        {"name": "detections", "datatype": "BYTES", "shape": [-1]},
    ],
    "outputs": [
        {"name": "labels", "datatype": "BYTES", "shape": [1]},
        {"name": "detections", "datatype": "BYTES", "shape": [-1]},
    ],
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
    inputs, place = {}, head
    for table in message["inputs"]:
        if head_length:
            size = table["parameters"]["binary_data_size"]
            inputs[table["name"]] = raw_texts(body[place : place + size])
            place += size
        else:
            inputs[table["name"]] = [base64.b64decode(each) for each in table["data"]]
    images = [{"timestamp": str(nth), "image": picture(file)} for nth, file in enumerate(inputs["pictures"])]
    for image, text in zip(images, inputs["detections"], strict=True):
        if (found := json.loads(text)) is not None:  # else no other labeler comes before
            image["detections"] = found
    texts = {"labels": [json.dumps(compute_labels(images) if images else {})]}
    texts["detections"] = [json.dumps(image.get("detections")) for image in images]
    asked_for = [each["name"] for each in message.get("outputs", [])] or list(texts)
    return reply(message, {name: texts[name] for name in asked_for})


def reply(message, texts):
    told = {"id": message.get("id", ""), "model_name": NAME, "outputs": []}
    binary = message.get("parameters", {}).get("binary_data_output")
    tail = b""
    for name, each in texts.items():
        output = {"name": name, "datatype": "BYTES", "shape": [len(each)]}
        if binary:
            raw = b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in each)
            output["parameters"] = {"binary_data_size": len(raw)}
            tail += raw
        else:
            output["data"] = each
        told["outputs"].append(output)
    if not binary:
        return JSONResponse(told)
    first = json.dumps(told).encode()
    return Response(first + tail, headers={HEAD: str(len(first))}, media_type="application/octet-stream")


def raw_texts(data):
    """Return the texts of a BYTES tensor: before each, its length in four bytes, little-endian."""
    texts = []
    while data:
        [length] = struct.unpack_from("<I", data)
        texts.append(data[4 : 4 + length])
        data = data[4 + length :]
    return texts


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
