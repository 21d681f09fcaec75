"""What a broken inference server may answer in place of the model `tiny`, and what the box then says."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np

from tests.support.inference_server import HEAD, Described, answer

SCORES = np.array([[[0.9, 0.1], [0.2, 0.8]]], np.float32)
BOXES = np.array([[[0.1, 0.1, 0.5, 0.5], [0.5, 0.5, 0.9, 0.9]]], np.float32)
INPUT = [Described("images", "FP32", (-1, 3, 32, 32))]
OUTPUTS = [Described("scores", "FP32", (-1, 2, 2)), Described("boxes", "FP32", (-1, 2, 4))]


def tiny(value: Any) -> Mapping[str, Any]:
    return {"scores": SCORES.repeat(len(value), 0), "boxes": BOXES.repeat(len(value), 0)}


def spoilt(change: Callable[[dict[str, Any]], object]) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer in JSON, after a change to the right message."""

    def fault(handler: BaseHTTPRequestHandler) -> None:
        message: dict[str, Any] = {
            "model_name": "tiny",
            "model_version": "1",
            "outputs": [
                {"name": name, "datatype": "FP32", "shape": list(value.shape), "data": value.ravel().tolist()}
                for name, value in tiny([0]).items()
            ],
        }
        change(message)
        answer(handler, 200, json.dumps(message).encode())

    return fault


def raw(data: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Send bytes, and close the connection, which an answer says in its head."""
    data = data.replace(b" 200 OK\r\n", b" 200 OK\r\nConnection: close\r\n")

    def fault(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(data)
        handler.close_connection = True

    return fault


def drip(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    never = threading.Event()
    while not never.wait(0.02):
        handler.wfile.write(b" ")


def redirect(handler: BaseHTTPRequestHandler) -> None:
    answer(handler, 307, b"", {"Location": "/elsewhere"})


def in_binary(scores: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer in the binary form with these bytes of the scores, and right boxes."""
    outputs = [
        {
            "name": name,
            "datatype": "FP32",
            "shape": list(value.shape),
            "parameters": {"binary_data_size": value.nbytes},
        }
        for name, value in tiny([0]).items()
    ]
    head = json.dumps({"model_version": "1", "outputs": outputs}).encode()
    return lambda handler: answer(handler, 200, head + scores + BOXES.tobytes(), {HEAD: str(len(head))})


BAD_ANSWERS: dict[str, tuple[Callable[[BaseHTTPRequestHandler], None], str]] = {
    "wrong shape": (
        spoilt(lambda told: told["outputs"][0].update(shape=[1, 1, 4])),
        "sent output 'scores' of the shape [1, 1, 4]",
    ),
    "wrong count": (spoilt(lambda told: told["outputs"][0]["data"].pop()), "number of values does not fit its shape"),
    "negative shape": (spoilt(lambda told: told["outputs"][0].update(shape=[-1, 2, 2])), "not follow the protocol"),
    "NaN": (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"outputs": [NaN]'), "not follow the protocol"),
    "NaN in the binary form": (in_binary((SCORES * np.nan).tobytes()), "sent output 'scores' contains NaN"),
    "no output": (spoilt(lambda told: told["outputs"].pop()), "sent no output boxes"),
    "text": (spoilt(lambda told: told["outputs"][0].update(data=["a"] * 4)), "sent no numbers"),
    "unknown type": (spoilt(lambda told: told["outputs"][0].update(datatype="FP8")), "type FP8"),
    "another model": (spoilt(lambda told: told.update(model_name="other")), "answered with the model 'other'"),
    "wrong version": (spoilt(lambda told: told.update(model_version="2")), "answered with version 2, expected 1"),
    "another id": (spoilt(lambda told: told.update(id="x")), "answered another request"),
    "200 with an error": (raw(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"error":"oom"}'), "an error: oom"),
    "200 with a page": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"), "not follow the protocol"),
    "status 500": (
        lambda handler: answer(handler, 500, b'{"error":"CUDA\\nout of memory"}'),
        "500: CUDA out of memory",
    ),
    "redirect": (redirect, "answered 307, a redirect, which is not followed"),
    "half a body": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{"), "sent an incomplete answer"),
    "no answer": (raw(b""), "cannot be asked: it closed the connection"),
    "no HTTP": (raw(b"hello\r\n\r\n"), "cannot be asked: it is not valid HTTP"),
    "slow drip": (drip, "gave no whole answer within"),
    "wrong head length": (
        lambda handler: answer(handler, 200, b"{}", {HEAD: "300"}),
        f"sent a wrong {HEAD}, or an incomplete answer",
    ),
    "half a tail": (in_binary(b""), "sent an incomplete output"),
    "texts for numbers": (
        spoilt(lambda told: told["outputs"][0].update(datatype="BYTES", data=["a"] * 4)),
        "sent output 'scores' of the type BYTES, expected numbers",
    ),
    "an output twice": (spoilt(lambda told: told["outputs"].append(told["outputs"][0])), "'scores' twice"),
    "too many values": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n[" + b"," * 8_999_999),
        "sent an answer with too many values",
    ),
    "compressed": (
        raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
        "sent an answer in the coding 'gzip', although none was asked for",
    ),
    "half a chunk": (
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
        "sent an incomplete answer",
    ),
    "a chunk of no size": (
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-\r\n{}\r\n0\r\n\r\n"),
        "cannot be asked: it is not valid HTTP",
    ),
    "half a body of unknown length": (raw(b'HTTP/1.0 200 OK\r\nContent-Length: -1\r\n\r\n{"outputs": '), "not follow"),
    "interim answers": (raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20), "more than 16 interim answers"),
    "a header without end": (raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000), "cannot be asked: it is not valid HTTP"),
}
"""By their name: what answers an inference, and words of the box's line about it."""
