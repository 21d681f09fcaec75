"""A labeler on inference servers: equal labels, contracts, bad answers, balancing, secrets.

The servers are real ones on the loopback, with an encoder of their own.
"""

import json
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camiohookd.camio.simulator import samples
from camiohookd.cli.doctor.model import check_labeler
from camiohookd.config.settings import LabelerSettings, RemoteSettings, SpillSettings
from camiohookd.config.values import EndpointUrl
from camiohookd.errors import ConfigError, LabelerDown, LabelingError, ModelError
from camiohookd.labelers import Frame, Labeler, LabelRequest
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.labelers.remote import breaker
from camiohookd.labelers.remote.open import open_remote
from camiohookd.labelers.remote.runner import RemoteLabeler
from camiohookd.labelers.remote.sharing import Sharing
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from tests.support.bad_answers import BAD_ANSWERS, BOXES, INPUT, OUTPUTS, SCORES, raw, tiny
from tests.support.certificates import make_certificate
from tests.support.inference_server import HEAD, Compute, Described, InferenceServer, answer
from tests.support.onnx_graphs import constant_model, model_folder
from tests.support.shipped_model_server import FOLDER, shipped_model
from tests.support.shipped_model_server import serve as serve_shipped


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    graph = constant_model({"scores": SCORES, "boxes": BOXES}, shape=("n", 3, 32, 32))
    return model_folder(tmp_path / "tiny", graph, "ssd", ["person", "car"])


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


Serve = Callable[..., InferenceServer]
Open = Callable[..., RemoteLabeler]


@pytest.fixture
def serve(opened: ExitStack) -> Serve:
    def started(compute: Compute = tiny, **more: Any) -> InferenceServer:
        inputs, outputs = more.pop("inputs", INPUT), more.pop("outputs", OUTPUTS)
        return opened.enter_context(closing(InferenceServer(compute, inputs, outputs, **more)))

    return started


@pytest.fixture
def connect(opened: ExitStack, folder: Path) -> Open:
    """Return a function that opens a labeler on servers, or on URLs."""

    def open_it(*servers: InferenceServer | str, strict: bool = True, **more: Any) -> RemoteLabeler:
        urls = tuple(EndpointUrl(each if isinstance(each, str) else each.url) for each in servers)
        used = str(more.pop("model", folder))
        remote = RemoteSettings(endpoints=urls, **more)
        return opened.enter_context(
            closing(open_remote(LabelerSettings(kind="remote", model=used, remote=remote), strict=strict))
        )

    return open_it


PHOTOGRAPHS = sorted(samples.KNOWN)


def frame(file: Path = PHOTOGRAPHS[0], size: tuple[int, int] = (32, 32)) -> Frame:
    data = file.read_bytes()
    return Frame(Picture("1", data), decode(data, PictureLimits(), size))


def free_port() -> str:
    with InferenceServerThatEnds() as url:
        return url


class InferenceServerThatEnds:
    """The URL of a server that has ended."""

    def __enter__(self) -> str:
        server = InferenceServer(tiny, INPUT, OUTPUTS)
        server.close()
        return server.url

    def __exit__(self, *_: object) -> None:
        pass


def found(labeler: RemoteLabeler) -> list[str]:
    return [each.label for each in labeler.label([frame()]).pictures[0]]


@pytest.fixture(scope="module")
def home() -> Labeler:
    """The shipped model on this machine."""
    return open_onnx(FOLDER)


@pytest.fixture(scope="module")
def shipped() -> Compute:
    """The shipped model, for a server."""
    return shipped_model()


@pytest.mark.parametrize("form", ["binary", "JSON", "jpeg"])
def test_labels_equal_those_of_the_same_model_at_home(
    opened: ExitStack, connect: Open, home: Labeler, shipped: Compute, form: str
) -> None:
    server = opened.enter_context(closing(serve_shipped(shipped, files=form == "jpeg")))
    server.speaks_binary = form != "JSON"
    sends = "jpeg" if form == "jpeg" else "tensors"
    remote = connect(server, model=FOLDER, sends=sends, batch=1 if form == "JSON" else 2)
    frames = [frame(path, home.input_size) for path in PHOTOGRAPHS[: 1 if form == "JSON" else 3]]
    theirs, ours = (each.label(frames, LabelRequest(min_probability=0.05)) for each in (remote, home))
    assert [len(each) for each in theirs.pictures] == [len(each) for each in ours.pictures]
    assert sum(map(len, ours.pictures)) > 0
    for one, other in zip(chain(*theirs.pictures), chain(*ours.pictures), strict=True):
        assert one.label == other.label
        assert one.probability == pytest.approx(other.probability, abs=0.01)
        assert one.box == pytest.approx(other.box, abs=1.0)
    assert (theirs.remote, theirs.device) == (True, server.url)
    assert bool(server.heads[-1].get(HEAD)) == (form != "JSON")
    assert {head["Accept-Encoding"] for head in server.heads} == {"identity"}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"inputs": [Described("pixels", "FP32", (1, 3, 32, 32))]}, "the model's input is 'pixels'"),
        (
            {"inputs": [Described("images", "FP32", (1, 3, 64, 64))]},
            r"is FP32 \[1, 3, 64, 64\]; model.toml expects FP32 or FP16 or UINT8 \[any, 3, 32, 32\]",
        ),
        ({"inputs": [Described("images", "BYTES", (1,))]}, "'images' is BYTES"),
        ({"inputs": [*INPUT, *INPUT]}, "the model has 2 inputs"),
        ({"outputs": OUTPUTS[:1]}, "the model's outputs are scores; expected scores, boxes"),
        ({"outputs": [OUTPUTS[0], Described("boxes", "INT64", (-1, 2, 4))]}, "output 'boxes' is INT64"),
        ({"outputs": [Described("scores", "FP32", (-1, 2, 9)), OUTPUTS[1]]}, r"'scores' is FP32 \[-1, 2, 9\]"),
    ],
)
def test_a_model_that_does_not_fit_ends_the_start_with_one_line(
    serve: Serve, connect: Open, told: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(**told)
    with pytest.raises(ModelError, match=message) as refused:
        connect(server)
    assert caplog.messages == []
    assert str(refused.value).startswith(f"inference server {server.url}: ")
    assert "\n" not in str(refused.value)
    with pytest.raises(LabelerDown, match=r"no inference server works at present"):
        connect(server, strict=False).label([frame()])
    assert server.inferences == 0


def test_an_input_of_bytes_gets_bytes(serve: Serve, connect: Open) -> None:
    kinds = []

    def compute(value: Any) -> Mapping[str, Any]:
        kinds.append(value.dtype)
        return tiny(value)

    assert found(connect(serve(compute, inputs=[Described("images", "UINT8", (-1, 3, 32, 32))]))) == ["person", "car"]
    assert set(kinds) == {np.dtype(np.uint8)}


@pytest.mark.parametrize(
    ("speaks", "answers", "form"),
    [
        (True, True, "the binary form"),
        (True, False, "the binary form, answers in JSON"),
        (False, False, "JSON"),
    ],
)
def test_the_log_says_in_which_form_requests_and_answers_come(
    serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture, speaks: bool, answers: bool, form: str
) -> None:
    caplog.set_level(logging.INFO)
    server = serve()
    server.speaks_binary, server.answers_binary = speaks, answers
    assert found(connect(server)) == ["person", "car"]
    assert caplog.messages == [f"inference server {server.url}: model tiny version 1, requests in {form}"]


def test_a_server_that_lists_no_tensors_is_tried(serve: Serve, connect: Open) -> None:
    assert found(connect(serve(inputs=[], outputs=[]))) == ["person", "car"]


def test_a_wrong_name_of_the_model_is_named(serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture) -> None:
    labeler = connect(serve(), model_name="other")
    with pytest.raises(LabelerDown):
        labeler.label([frame()])
    assert "answered 404: unknown model; it is not asked again for 2 s" in caplog.text


@pytest.fixture(scope="module")
def stands_in(tmp_path_factory: pytest.TempPathFactory) -> Labeler:
    """A model on this machine that finds what no server does."""
    graph = constant_model({"scores": SCORES, "boxes": BOXES}, shape=("n", 3, 32, 32))
    return open_onnx(model_folder(tmp_path_factory.mktemp("home") / "tiny", graph, "ssd", ["home", "home too"]))


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_bad_answer_is_one_clear_line_and_a_breaker_event_and_waits_or_is_labeled_at_home(
    serve: Serve, connect: Open, stands_in: Labeler, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    caplog.set_level(logging.INFO)
    fault, message = BAD_ANSWERS[name]
    server = serve()
    labeler = connect(server, timeout=0.5, model_version="1", retries=1)
    shared = Sharing(stands_in, 1, labeler, SpillSettings(prefer="remote"), lambda _degraded: None)
    server.fault = fault
    asked = len(server.asked)
    with pytest.raises(LabelerDown) as down:  # for which an event waits
        labeler.label([frame()])
    assert message in str(down.value)
    assert server.url in str(down.value)
    at_home = shared.label([frame()])
    assert [each.label for each in at_home.pictures[0]] == ["home", "home too"]
    assert not at_home.remote
    done = len(server.asked) - asked
    assert "/elsewhere" not in server.asked
    assert 3 <= done <= 4, "three tries, and once more where a kept connection was closed"
    with pytest.raises(LabelerDown, match="no inference server works at present"):
        labeler.label([frame()])
    assert len(server.asked) - asked == done, "the breaker is open"
    [line] = [each for each in caplog.messages if "not asked again" in each]
    assert message in line
    assert "\n" not in line


def test_values_that_are_not_finite_are_not_used(serve: Serve, connect: Open) -> None:
    server = serve()
    labeler = connect(server)
    server.compute = lambda value: {**tiny(value), "boxes": BOXES * np.nan}
    with pytest.raises(LabelerDown, match="sent output 'boxes' contains NaN or infinite values"):
        labeler.label([frame()])


def test_a_server_that_is_dead_at_the_start_is_used_when_it_lives(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.0)
    server = serve()
    server.fault = lambda handler: answer(handler, 503, b"")
    labeler = connect(server)
    with pytest.raises(LabelerDown, match="answered 503"):
        labeler.label([frame()])
    server.fault = None
    assert found(labeler) == ["person", "car"]
    assert f"inference server {server.url}: works again" in caplog.text


def test_a_server_that_comes_back_with_another_model_is_not_used(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.0)
    server = serve()
    labeler = connect(server)
    server.fault = lambda handler: answer(handler, 503, b"")
    with pytest.raises(LabelerDown):
        labeler.label([frame()])
    server.fault, server.inputs = None, [Described("images", "FP32", (-1, 3, 64, 64))]
    with pytest.raises(LabelerDown, match=r"model\.toml expects"):
        labeler.label([frame()])


def test_an_update_of_the_model_is_checked_before_the_next_request(serve: Serve, connect: Open) -> None:
    server = serve()
    labeler = connect(server)
    server.version = "2"
    checks = server.asked.count("/v2/models/tiny")
    assert found(labeler) == ["person", "car"]
    assert found(labeler) == ["person", "car"]
    assert server.asked.count("/v2/models/tiny") == checks + 1


def test_a_server_without_tls_is_named_as_such(serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture) -> None:
    connect(serve().url.replace("http", "https"))
    assert "cannot be asked: it does not speak TLS there; is http:// meant?; it is not asked again" in caplog.text


def test_with_one_dead_server_of_two_every_picture_is_labeled(serve: Serve, connect: Open) -> None:
    server = serve()
    labeler = connect(free_port(), server)
    for _ in range(5):
        assert found(labeler) == ["person", "car"]
    assert server.inferences == 5 + 2, "two for the trial"


def test_a_request_goes_to_the_server_with_the_fewest_in_hand(serve: Serve, connect: Open) -> None:
    inside, go_on = threading.Event(), threading.Event()
    busy, idle = serve(), serve()
    labeler = connect(busy, idle)

    def hold(value: Any) -> Mapping[str, Any]:
        inside.set()
        assert go_on.wait(30)
        return tiny(value)

    busy.compute = hold
    before = idle.inferences
    waiting = threading.Thread(target=found, args=(labeler,))
    waiting.start()
    assert inside.wait(30)
    try:
        for _ in range(3):
            assert labeler.label([frame()]).device == idle.url
    finally:
        go_on.set()
        waiting.join()
    assert idle.inferences == before + 3


def test_tls_with_an_own_authority_a_client_certificate_and_a_token(
    serve: Serve, connect: Open, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pair = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    context.load_verify_locations(pair.cert)
    context.verify_mode = ssl.CERT_REQUIRED
    server = serve(tls=context)
    token = tmp_path / "token"
    token.write_text("first-secret\n")
    files = {"ca": str(pair.cert), "client_cert": str(pair.cert), "client_key": str(pair.key)}
    labeler = connect(server, token_file=str(token), **files)
    assert found(labeler) == ["person", "car"]
    assert server.heads[-1]["Authorization"] == "Bearer first-secret"
    token.write_text("second-secret\n")
    assert found(labeler) == ["person", "car"]
    assert server.heads[-1]["Authorization"] == "Bearer second-secret"
    assert "secret" not in caplog.text
    for missing in ({"ca": str(pair.cert)}, files | {"ca": "certifi"}):
        with pytest.raises(LabelerDown):
            connect(server, **missing).label([frame()])
    assert "certificate" in caplog.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token_file": "/nowhere/token"}, "labeler.remote.token_file: /nowhere/token: "),
        ({"client_cert": "/nowhere/cert.pem"}, "set client_cert and client_key, or neither"),
        ({"client_cert": "/nowhere/a", "client_key": "/nowhere/b"}, "/nowhere/a, /nowhere/b: No such file"),
        ({"ca": "/nowhere/ca.pem"}, 'labeler.remote.ca: given "/nowhere/ca.pem"'),
        ({"sends": "jpeg-for-labels"}, "labeler.remote.model_name"),
    ],
)
def test_settings_that_cannot_be_used_end_the_start(connect: Open, settings: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        connect("http://127.0.0.1:9", **settings)


def owner_code(labels: Any) -> Compute:
    return lambda files: {"labels": [json.dumps(labels(files)).encode()]}


OWN = {"inputs": [Described("pictures", "BYTES", (-1,))], "outputs": [Described("labels", "BYTES", (-1,))]}


def test_files_have_as_many_axes_as_the_server_says(serve: Serve, connect: Open) -> None:
    shapes = []

    def compute(value: Any) -> Mapping[str, Any]:
        shapes.append(server.shape)
        return tiny(value)

    server = serve(compute, inputs=[Described("images", "BYTES", (-1, 1))])
    assert found(connect(server, sends="jpeg")) == ["person", "car"]
    assert set(map(tuple, shapes)) == {(1, 1)}


@pytest.mark.parametrize("binary", [True, False])
def test_own_code_on_a_server_labels_whole_events(serve: Serve, connect: Open, binary: bool) -> None:
    def labels(files: list[bytes]) -> Any:
        assert all(file.startswith(b"\xff\xd8") for file in files)
        return {str(nth): {f"cat {nth}": {"probability": 0.5, "polygon": []}} for nth in range(len(files))}

    server = serve(owner_code(labels), **OWN)
    server.speaks_binary = binary
    labeler = connect(server, sends="jpeg-for-labels", model_name="tiny")
    findings = labeler.label([frame(), frame()])
    assert [[each.label for each in picture] for picture in findings.pictures] == [["cat 0"], ["cat 1"]]
    server.compute = owner_code(lambda _files: ["day"])
    assert labeler.label([frame()]).event == ["day"]


AFTER_OTHERS: dict[str, Any] = {
    name: [*described, Described("detections", "BYTES", (-1, 1))] for name, described in OWN.items()
}
EARLIER = [[Detection("person", 0.9, Box(1, 2, 3, 4)), Detection("car", 0.8, Box(5, 6, 7, 8), labeler="home")], []]


@pytest.mark.parametrize("binary", [True, False])
def test_own_code_on_a_server_sees_and_changes_what_earlier_labelers_found(
    serve: Serve, connect: Open, binary: bool
) -> None:
    def compute(files: list[bytes], texts: list[bytes]) -> Mapping[str, Any]:
        detections = [json.loads(text) for text in texts]
        if files and detections[0]:
            told.append(detections[0][0])
            detections[0] = [detections[0][1], {"label": "cat", "probability": 0.7, "box": None}]
        return {"labels": [b"null"], "detections": [json.dumps(each or []).encode() for each in detections]}

    told: list[Any] = []
    server = serve(compute, **AFTER_OTHERS)
    server.speaks_binary = binary
    labeler = connect(server, sends="jpeg-for-labels", model_name="tiny")
    findings = labeler.label([frame(), frame()], LabelRequest(found=EARLIER))
    assert told == [{"label": "person", "probability": 0.9, "box": [1, 2, 3, 4]}]
    assert findings.kept == [[EARLIER[0][1], Detection("cat", 0.7, None)], []]
    assert not any(findings.pictures)


def test_the_first_own_code_gets_null_in_place_of_detections(serve: Serve, connect: Open) -> None:
    texts: list[bytes] = []

    def compute(_files: list[bytes], detections: list[bytes]) -> Mapping[str, Any]:
        texts.extend(detections)
        return {"labels": [b"{}"]}

    server = serve(compute, inputs=AFTER_OTHERS["inputs"], outputs=OWN["outputs"])
    labeler = connect(server, sends="jpeg-for-labels", model_name="tiny")
    assert labeler.label([frame(), frame()]).kept is None
    assert texts == [b"null", b"null"]


def test_a_server_that_takes_no_detections_gets_none(serve: Serve, connect: Open) -> None:
    labeler = connect(serve(owner_code(lambda _files: {}), **OWN), sends="jpeg-for-labels", model_name="tiny")
    assert labeler.label([frame(), frame()], LabelRequest(found=EARLIER)).kept is None


@pytest.mark.parametrize("left", [[b"[]"], [b"[]", b"7"], [b"[]", b"no JSON"], [b"[]", b'[{"label": "cat"}]']])
def test_detections_that_a_server_leaves_are_checked(serve: Serve, connect: Open, left: list[bytes]) -> None:
    def compute(files: list[bytes], _texts: list[bytes]) -> Mapping[str, Any]:
        return {"labels": [b"{}"], "detections": left if files else []}

    labeler = connect(serve(compute, **AFTER_OTHERS), sends="jpeg-for-labels", model_name="tiny")
    with pytest.raises(LabelerDown, match="detections"):
        labeler.label([frame(), frame()], LabelRequest(found=EARLIER))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"7": {}}, "no image of this event has that timestamp"),
        ({"0": {"cat": {"probability": 7}}}, "sent labels that cannot be used"),
        (3, "expected a dict"),
    ],
)
def test_labels_of_own_code_are_checked(serve: Serve, connect: Open, labels: Any, message: str) -> None:
    server = serve(owner_code(lambda _files: []), **OWN)
    labeler = connect(server, sends="jpeg-for-labels", model_name="tiny")
    server.compute = owner_code(lambda _files: labels)
    with pytest.raises(LabelerDown, match=message):
        labeler.label([frame()])


def test_a_picture_that_a_server_refuses_does_not_hold_up_the_queue(
    serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(owner_code(lambda _files: []), **OWN)
    labeler = connect(server, sends="jpeg-for-labels", model_name="tiny")

    def refuse(files: list[bytes]) -> Any:
        if files:
            raise ValueError("no picture")
        return []

    server.compute = owner_code(refuse)
    for _ in range(5):
        with pytest.raises(LabelingError, match="answered 500: no picture"):
            labeler.label([frame()])
    assert caplog.messages == [], "the server is not the reason, and is asked on"


def test_an_event_waits_for_a_server_that_takes_files_and_refuses_all(serve: Serve, connect: Open) -> None:
    server = serve(inputs=[Described("images", "BYTES", (-1,))])
    labeler = connect(server, sends="jpeg")
    server.fault = lambda handler: answer(handler, 500, b'{"error": "out of memory"}')
    with pytest.raises(LabelerDown, match="answered 500: out of memory"):
        labeler.label([frame()])


def test_the_doctor_says_which_server_helps_or_why_none_does(serve: Serve, folder: Path) -> None:
    server = serve()
    remote = RemoteSettings(endpoints=(EndpointUrl(server.url),))
    settings = LabelerSettings(model=str(folder), device="cpu", remote=remote)
    helping = list(check_labeler(settings))[-1]
    assert (helping.outcome, helping.text) == ("ok", f"{server.url} has labeled {min(samples.KNOWN).name}")
    server.close()
    missing = list(check_labeler(settings))[-1]
    assert missing.outcome == "warning"
    assert "no inference server works at present" in missing.text


def test_an_endpoint_may_have_a_path_before_v2(serve: Serve, connect: Open) -> None:
    server = serve()
    labeler = connect(f"{server.url}/site/a/")
    assert found(labeler) == ["person", "car"]
    assert {path.partition("/v2/")[0] for path in server.asked} == {"/site/a"}


def test_an_answer_may_come_in_chunks(serve: Serve, connect: Open) -> None:
    server = serve()
    labeler = connect(server)

    def in_chunks(handler: BaseHTTPRequestHandler) -> None:
        head, body = right_answer()
        handler.wfile.write(head)
        for part in (body[:7], body[7:]):
            handler.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    server.fault = in_chunks
    assert found(labeler) == ["person", "car"]
    assert found(labeler) == ["person", "car"]


def right_answer() -> tuple[bytes, bytes]:
    outputs = [
        {"name": name, "datatype": "FP32", "shape": list(value.shape), "data": value.ravel().tolist()}
        for name, value in tiny([0]).items()
    ]
    body = json.dumps({"outputs": outputs, "model_version": "1"}).encode()
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", body


def test_threads_get_right_labels_while_one_server_of_two_fails_again_and_again(
    serve: Serve, connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(breaker, "LONGEST_WAIT", 0.01)
    good, flapping = serve(), serve()
    labeler = connect(flapping, good, concurrency=8)
    numbers = count()

    def fault(handler: BaseHTTPRequestHandler) -> None:
        if next(numbers) % 3:
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")(handler)
        else:
            answer(handler, 503, b"")

    flapping.fault = fault
    with ThreadPoolExecutor(8) as pool:
        every = list(pool.map(lambda _nth: found(labeler), range(64)))
    assert every == [["person", "car"]] * 64
    assert next(numbers) > 3


def test_a_server_that_closes_kept_connections_causes_no_failure(
    serve: Serve, connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    labeler = connect(server, retries=0)
    head, body = right_answer()
    head = head.replace(b"Transfer-Encoding: chunked", f"Content-Length: {len(body)}".encode())

    def close_after_it(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head + body)
        handler.close_connection = True

    server.fault = close_after_it
    for _ in range(20):
        assert found(labeler) == ["person", "car"]
    assert caplog.messages == []
