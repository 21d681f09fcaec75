"""An inference server for tests, on the loopback, that speaks the Open Inference Protocol. It can answer wrongly.

It shares no code with the program: it reads requests and writes answers itself.
"""

import json
import ssl
import struct
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KINDS = {"FP32": "<f4", "FP16": "<f2", "UINT8": "|u1"}
HEAD = "Inference-Header-Content-Length"


class Described(NamedTuple):
    """A tensor as the model's metadata names it."""

    name: str
    datatype: str
    shape: Sequence[int]


Compute = Callable[..., Mapping[str, Any]]
"""The inputs, each an array or a list of files or texts -> the outputs: arrays, or a list of texts."""


class InferenceServer:
    """Serves one model at `url`; `compute` makes the outputs.

    A test may change it at any time: `speaks_binary`; `answers_binary`; `version`; `fault`, which answers an inference
    in place of the model; `inputs` and `outputs`, which the metadata tells. `asked` are the paths of all requests,
    `heads` the headers of the inferences, and `inferences` counts those that were computed; `shape` is that of the last
    input.
    """

    def __init__(
        self,
        compute: Compute,
        inputs: Sequence[Described],
        outputs: Sequence[Described],
        *,
        name: str = "tiny",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.compute = compute
        self.inputs, self.outputs = inputs, outputs
        self.name = name
        self.version = "1"
        self.speaks_binary = True
        self.answers_binary = True
        self.fault: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.asked: list[str] = []
        self.heads: list[Mapping[str, str]] = []
        self.inferences = 0
        self.shape: Sequence[int] = ()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def infer(self, head: Mapping[str, str], body: bytes) -> tuple[bytes, dict[str, str]]:
        """Return the answer's body and headers. Raises ValueError for what it does not understand."""
        length = head.get(HEAD)
        if length is not None and not self.speaks_binary:
            raise ValueError("Unrecognized request format")
        message = json.loads(body[: int(length)] if length else body)
        values, place = [], int(length or 0)
        for table in message["inputs"]:
            size = table.get("parameters", {}).get("binary_data_size", 0)
            values.append(_value(table, body[place : place + size] if length else None))
            place += size
        self.shape = message["inputs"][0]["shape"]
        self.inferences += 1
        outputs = self.compute(*values)
        answer: dict[str, Any] = {"id": message["id"], "model_name": self.name, "model_version": self.version}
        tables, tail = [], b""
        for asked in message["outputs"]:
            # As Triton does: what the request says about all outputs does not count for one that it names.
            binary = self.answers_binary and asked.get("parameters", {}).get("binary_data", False)
            table, raw = _table(asked["name"], outputs[asked["name"]], binary=binary)
            tables.append(table)
            tail += raw
        first = json.dumps(answer | {"outputs": tables}).encode()
        return first + tail, {HEAD: str(len(first))} if tail else {}


def _value(table: Mapping[str, Any], raw: bytes | None) -> Any:
    if table["datatype"] == "BYTES":
        if raw is None:
            return [b64decode(each) for each in table["data"]]
        files = []
        while raw:
            [length] = struct.unpack_from("<I", raw)
            files.append(raw[4 : 4 + length])
            raw = raw[4 + length :]
        return files
    kind = KINDS[table["datatype"]]
    values = np.array(table["data"], kind) if raw is None else np.frombuffer(raw, kind)
    return values.reshape(table["shape"])


def _table(name: str, value: Any, *, binary: bool) -> tuple[dict[str, Any], bytes]:
    if isinstance(value, list):
        table: dict[str, Any] = {"name": name, "datatype": "BYTES", "shape": [len(value)]}
        if not binary:
            return table | {"data": [each.decode() for each in value]}, b""
        raw = b"".join(struct.pack("<I", len(each)) + each for each in value)
    else:
        table = {"name": name, "datatype": "FP32", "shape": list(value.shape)}
        if not binary:
            return table | {"data": value.ravel().tolist()}, b""
        raw = value.astype("<f4").tobytes()
    return table | {"parameters": {"binary_data_size": len(raw)}}, raw


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole answer."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _handler(server: InferenceServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else each answer takes 40 ms: its head and its body are sent one by one

        def log_message(self, *_args: object) -> None:
            """Write nothing to stderr."""

        def do_GET(self) -> None:
            server.asked.append(self.path)
            if self.path.endswith("/v2/health/ready"):
                answer(self, 200, b"")
                return
            if f"/v2/models/{server.name}" not in self.path:
                answer(self, 404, json.dumps({"error": "unknown model"}).encode())
                return
            told = {
                "name": server.name,
                "platform": "test server",
                "inputs": [each._asdict() for each in server.inputs],
                "outputs": [each._asdict() for each in server.outputs],
            }
            answer(self, 200, json.dumps(told).encode())

        def do_POST(self) -> None:
            server.asked.append(self.path)
            server.heads.append(dict(self.headers))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if server.fault:
                server.fault(self)
                return
            try:
                data, headers = server.infer(dict(self.headers), body)
            except ValueError as error:
                answer(self, 500, json.dumps({"error": str(error)}).encode())
            else:
                answer(self, 200, data, headers)

    return Handler
