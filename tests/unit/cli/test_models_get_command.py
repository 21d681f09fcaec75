"""`camiohookd models get`: a model from the catalogue, over the same guard as deliveries."""

import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from camiohookd.cli import ExitStatus, run
from camiohookd.labelers.catalogue import read_catalogue
from camiohookd.labelers.library import to_toml
from camiohookd.labelers.model import load_description
from tests.support.onnx_graphs import constant_model
from tests.support.scripted_server import Peer

MODEL = constant_model({"p": np.array([[5.0, 1.0, -3.0]], np.float32)}, metadata={"names": "['rain', 'sun', 'snow']"})

Errors = Callable[[], str]


@pytest.fixture
def errors(capfd: pytest.CaptureFixture[str]) -> Errors:
    return lambda: capfd.readouterr().err


class Publisher:
    """A loopback server that sends `answer`, and a catalogue with an entry for it."""

    def __init__(self, folder: Path) -> None:
        self.answer = self.ok(MODEL)
        self.peer = Peer(self._send)
        self.into = folder / "models"
        self._folder = folder

    @staticmethod
    def ok(body: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    def _send(self, connection: socket.socket) -> None:
        connection.sendall(self.answer)
        connection.shutdown(socket.SHUT_WR)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.peer.port}/weather.onnx"

    def get(self, *options: str, **changes: object) -> int:
        entry = {
            "about": "weather",
            "url": self.url,
            "sha256": hashlib.sha256(MODEL).hexdigest(),
            "bytes": len(MODEL),
            "licence": "MIT",
            "hash_from": "a test",
        }
        catalogue = self._folder / "catalogue.toml"
        catalogue.write_text(to_toml({"weather": entry | changes}))
        return run(["models", "get", "weather", "--catalogue", str(catalogue), "--into", str(self.into), *options])

    def get_of_catalogue(self, name: str, model: bytes) -> int:
        """Get another model in place of that of the package's catalogue, with the entry's contract."""
        entry = msgspec.to_builtins(read_catalogue()[name])
        entry |= {"url": self.url, "sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
        self.answer = self.ok(model)
        catalogue = self._folder / "catalogue.toml"
        catalogue.write_text(to_toml({name: {key: value for key, value in entry.items() if value is not None}}))
        return run(["models", "get", name, "--catalogue", str(catalogue), "--into", str(self.into)])


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path / "no settings"))
    made = Publisher(tmp_path)
    monkeypatch.setenv("CAMIOHOOKD_CALLBACK_ALLOW_HOSTS", f'["http://127.0.0.1:{made.peer.port}"]')
    yield made
    made.peer.close()


def test_gets_a_model_and_adds_it(publisher: Publisher) -> None:
    assert publisher.get() == ExitStatus.FINE
    description = load_description(publisher.into / "weather")
    assert (description.labels, description.licence, description.source) == (
        ("rain", "sun", "snow"),
        "MIT",
        publisher.url,
    )
    assert publisher.peer.requests[0].startswith(b"GET /weather.onnx HTTP/1.1\r\n")
    assert publisher.get("--as", "wide", "--size", "64x32", range="-1..1") == ExitStatus.FINE
    wide = load_description(publisher.into / "wide").input
    assert (wide.width, wide.height, wide.range) == (64, 32, "-1..1")


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (MODEL[:-1] + b"X", "the catalogue expects"),
        (MODEL[:-1], f"the server sent {len(MODEL) - 1} bytes, expected {len(MODEL)}"),
        (MODEL + b"X", f"the server sent more than {len(MODEL)} bytes"),
    ],
)
def test_refuses_another_file_than_the_catalogues(
    publisher: Publisher, errors: Errors, body: bytes, complaint: str
) -> None:
    publisher.answer = publisher.ok(body)
    assert publisher.get() != ExitStatus.FINE
    assert complaint in errors()
    assert not publisher.into.exists()


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "the server answered 404; check this machine's network and try again",
        ),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "the server answered 302 (redirects are not followed)",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc", "the answer is incomplete"),
        (b"", "it closed the connection"),
    ],
)
def test_says_why_nothing_was_got(publisher: Publisher, errors: Errors, answer: bytes, complaint: str) -> None:
    publisher.answer = answer
    assert publisher.get() == ExitStatus.FAILED
    assert complaint in errors()


def test_calls_no_address_that_is_not_public_or_allowed(
    publisher: Publisher, errors: Errors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMIOHOOKD_CALLBACK_ALLOW_HOSTS", "[]")
    assert publisher.get() == ExitStatus.CONFIG
    assert "this address is not allowed" in errors()
    assert publisher.get(url="https://127.0.0.1/weather.onnx") == ExitStatus.CONFIG
    assert publisher.get(url="https://localhost/weather.onnx") != ExitStatus.FINE
    assert publisher.peer.connections == 0


def test_refuses_a_server_whose_certificate_is_not_trusted(
    publisher: Publisher, errors: Errors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from tests.support.certificates import make_certificate

    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    peer = Peer(publisher._send, context)
    origin = f"https://127.0.0.1:{peer.port}"
    monkeypatch.setenv("CAMIOHOOKD_CALLBACK_ALLOW_HOSTS", f'["{origin}"]')
    assert publisher.get(url=f"{origin}/weather.onnx") == ExitStatus.FAILED
    assert "self-signed certificate" in errors()
    monkeypatch.setenv("CAMIOHOOKD_CALLBACK_CA", str(certificate))
    assert publisher.get(url=f"{origin}/weather.onnx") == ExitStatus.FINE
    peer.close()


def test_lists_the_catalogue_and_names_an_unknown_model(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["models", "get"]) == ExitStatus.FINE
    assert "yolox-s " in capfd.readouterr().out
    assert run(["models", "get", "nonsense"]) == ExitStatus.USAGE
    assert "'nonsense' is not in the catalogue, which has yolox-s" in capfd.readouterr().err
    (tmp_path / "bad.toml").write_text("[x]\nurl = 3\n")
    assert run(["models", "get", "--catalogue", str(tmp_path / "bad.toml")]) == ExitStatus.CONFIG
    assert "not a catalogue of models" in capfd.readouterr().err


def test_the_contract_of_the_nanodet_in_the_catalogue_fits_a_graph_of_its_form(publisher: Publisher) -> None:
    """Two outputs for each of three grids, the labels as probabilities, as opencv_zoo's `nanodet.py` reads them."""
    outputs = {}
    for stride in (8, 16, 32):
        cells = (416 // stride) ** 2
        outputs[f"labels {stride}"] = np.full((1, cells, 80), 0.01, np.float32)
        outputs[f"sides {stride}"] = np.full((1, cells, 32), -5, np.float32)
    assert publisher.get_of_catalogue("nanodet", constant_model(outputs, shape=(1, 3, 416, 416))) == ExitStatus.FINE
    description = load_description(publisher.into / "nanodet")
    assert (description.decoder, description.labels[:2]) == ("nanodet", ("person", "bicycle"))
    assert description.options == {
        "strides": [8, 16, 32],
        "reg_max": 7,
        "joined": False,
        "offset": 0.5,
    }
    assert (description.input.resize, description.input.mean[0]) == ("letterbox-centred", 103.53)


def test_the_contract_of_the_classifier_in_the_catalogue_fits_a_graph_of_its_form(publisher: Publisher) -> None:
    logits = np.linspace(-5, 9, 1000, dtype=np.float32)[None]
    model = constant_model({"output": logits}, shape=("batch", 3, 224, 224))
    assert publisher.get_of_catalogue("mobilenet-v2", model) == ExitStatus.FINE
    description = load_description(publisher.into / "mobilenet-v2")
    assert (description.task, description.labels[0], description.options["activation"]) == (
        "classification",
        "tench",
        "softmax",
    )


def test_every_address_of_the_shipped_catalogue_is_https_and_every_hash_has_a_source() -> None:
    for name, entry in read_catalogue().items():
        assert entry.url.startswith("https://"), name
        assert entry.hash_from, name
