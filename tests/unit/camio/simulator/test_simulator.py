import base64
import json
import os
import pty
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd import cli
from camiohookd.camio.simulator import reach
from camiohookd.camio.simulator.contract import ReplyCheck, check_reply
from camiohookd.camio.simulator.events import enough_events, make_events, read_pictures
from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.camio.simulator.samples import KNOWN, SAMPLES, Area, KnownObject, Objects
from camiohookd.errors import CamiohookdError
from camiohookd.wire.reply import ImageLabels, Label, Reply, encode_reply
from tests.support.certificates import make_certificate
from tests.support.parsed_event import parse_event
from tests.support.threaded_simulator import FakeCamioThread

KEY = "a-key-of-the-tests"
TIME = "2017-05-05T01:31:13.738647"
LATER = "2017-05-05T01:31:14.102000"
BOX = [[0.1, 0.2], [0.4, 0.2], [0.4, 0.7], [0.1, 0.7]]
PICTURES: dict[str, Objects] = {TIME: (), LATER: ()}
OBJECTS = {one.label: one for objects in KNOWN.values() for one in objects}

# The objects that the shipped model finds, and the bench, which it misses.
FOUND = {
    "person": Area(0.0326, 0.0083, 0.7931, 0.9732),
    "cat": Area(0.0014, 0.0026, 0.8911, 0.9974),
    "cup": Area(0.2910, 0.3773, 0.6881, 0.9442),
    "motorcycle": Area(0.1311, 0.0946, 0.9369, 0.8865),
    "bench": Area(0.0570, 0.4100, 0.4050, 0.7800),
}


def reply(polygon: Any = BOX, probability: Any = 0.93, **changes: Any) -> dict[str, Any]:
    labels = {TIME: {"cat": {"probability": probability, "polygon": polygon}}, LATER: {}}
    return {"status": "success", "labels": labels} | changes


def check(value: Any) -> ReplyCheck:
    return check_reply(json.dumps(value).encode(), PICTURES)


def test_the_example_of_the_contract_is_valid() -> None:
    assert check(reply()) == ReplyCheck("image", {"cat": 0.93}, ())


@pytest.mark.parametrize("probability", [0, 1, 0.0, 1.0, 0.5])
@pytest.mark.parametrize("polygon", [[], BOX, [[0, 0], [1, 0], [0.5, 1]], [[0, 0], [1, 0], [1, 1], [0.5, 0.7], [0, 1]]])
def test_a_label_within_the_ranges_is_valid(probability: Any, polygon: Any) -> None:
    assert check(reply(polygon, probability)).problems == ()


def test_a_flat_list_is_valid_and_reported_as_the_older_form() -> None:
    assert check(reply(labels=["cat", "dog"])) == ReplyCheck("event", {"cat": None, "dog": None}, ())


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "exactly the keys"),
        ({"labels": {}}, "exactly the keys"),
        (reply(more=1), "exactly the keys"),
        (reply(status="ok"), "status is 'ok'"),
        (reply(labels=None), "labels is None"),
        (reply(labels=["cat", ""]), "non-empty string"),
        (reply(labels=[5]), "5 is not a non-empty string"),
        (reply(labels={TIME: {}}), f"the image {LATER} is missing"),
        (reply(labels={TIME: {}, LATER: {}, "2017": {}}), "'2017' was never sent"),
        (reply(labels={TIME: [], LATER: {}}), "not an object of labels"),
        (reply(labels={TIME: {"cat": 0.5}, LATER: {}}), "exactly the keys probability and polygon"),
        (reply(labels={TIME: {"cat": {"probability": 1}}, LATER: {}}), "exactly the keys probability and polygon"),
        (reply(labels={TIME: {"": {"probability": 1, "polygon": []}}, LATER: {}}), "the label is empty"),
        (reply(probability=1.01), "probability is 1.01"),
        (reply(probability=-0.1), "probability is -0.1"),
        (reply(probability=True), "probability is True"),
        (reply(probability="0.5"), "probability is '0.5'"),
        (reply(probability=None), "probability is None"),
        (reply(None), "polygon is None"),
        (reply([[0.1, 1.2], [0.4, 0.2], [0.4, 0.7]]), "fractions from 0 to 1"),
        (reply([[0.1, 0.2, 0.3], [0.4, 0.2], [0.4, 0.7]]), "fractions from 0 to 1"),
        (reply([[100, 20], [400, 20], [400, 70], [100, 70]]), "fractions from 0 to 1"),
        (reply([[0.1, 0.2], [0.4, 0.2]]), "too few"),
        (reply([[0.1, 0.7], [0.4, 0.7], [0.4, 0.2], [0.1, 0.2]]), "y pointing up"),
        (reply([[0.1, 0.2], [0.4, 0.7], [0.4, 0.2], [0.1, 0.7]]), "upright box"),
        (reply([[0.1, 0.2], [0.1, 0.2], [0.1, 0.7], [0.1, 0.7]]), "upright box"),
    ],
)
def test_finds_every_departure_from_the_contract(value: Any, problem: str) -> None:
    problems = check(value).problems
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff", b"{", b"[" * 100_000, b'{"status": "success", "status": "success", "labels": {}}',
     b'{"status": "success", "labels": [NaN]}'],
)  # fmt: skip
def test_reports_a_reply_that_is_not_strict_json(body: bytes) -> None:
    assert "not JSON" in check_reply(body, PICTURES).problems[0]


def outline(area: Area) -> list[list[float]]:
    left, bottom, right, top = area
    return [[left, bottom], [right, bottom], [right, top], [left, top]]


def problems_of(label: str, area: Area, known: KnownObject) -> tuple[str, ...]:
    value = reply(labels={TIME: {label: {"probability": 0.9, "polygon": outline(area)}}})
    return check_reply(json.dumps(value).encode(), {TIME: (known,)}).problems


@pytest.mark.parametrize("label", OBJECTS)
def test_a_box_on_a_known_object_is_valid(label: str) -> None:
    assert problems_of(label, FOUND[label], OBJECTS[label]) == ()
    assert problems_of(label.upper(), FOUND[label], OBJECTS[label]) == ()


@pytest.mark.parametrize("label", OBJECTS)
def test_finds_a_box_with_y_from_the_top_if_the_object_shows_the_difference(label: str) -> None:
    right, wrong = FOUND[label], FOUND[label].mirrored()
    distance = abs((right.bottom + right.top) / 2 - (wrong.bottom + wrong.top) / 2)
    problems = problems_of(label, wrong, OBJECTS[label])
    tells = distance > 0.15  # person, cat and motorcycle are within 0.02
    assert ["bottom-left corner" in one for one in problems] == [True] * tells


@pytest.mark.parametrize("label", OBJECTS)
def test_finds_a_box_beside_the_object(label: str) -> None:
    [problem] = problems_of(label, Area(0.9, 0.0, 1.0, 0.1), OBJECTS[label])
    assert f"does not lie on the {label}" in problem or "bottom-left corner" in problem
    assert problems_of("else", Area(0.9, 0.0, 1.0, 0.1), OBJECTS[label]) == ()


@given(st.binary() | st.recursive(st.none() | st.text() | st.floats() | st.booleans(), st.lists).map(json.dumps))
def test_checks_any_reply_without_an_exception(body: bytes | str) -> None:
    body = body.encode() if isinstance(body, str) else body
    assert check_reply(body, PICTURES).problems


@st.composite
def boxes(draw: st.DrawFn) -> tuple[tuple[float, float], ...]:
    left, right = sorted(draw(st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True)))
    bottom, top = sorted(draw(st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True)))
    return ((left, bottom), (right, bottom), (right, top), (left, top))


@given(
    st.dictionaries(st.text(min_size=1), st.builds(Label, st.floats(0, 1), st.just(()) | boxes()), max_size=3),
)
def test_replies_of_the_service_pass_the_independent_check(found: dict[str, Label]) -> None:
    labels: ImageLabels = {TIME: found, LATER: {}}
    verdict = check_reply(encode_reply(Reply(labels)), PICTURES)
    assert verdict.problems == ()
    assert verdict.labels == {label: one.probability for label, one in found.items()}


def test_the_bundled_pictures_make_one_event_by_default() -> None:
    pictures = read_pictures([]).usable
    assert [one.path.name for one in pictures] == ["astronaut.jpg", "chelsea.jpg", "coffee.jpg", "motorcycle_left.jpg"]
    assert enough_events(len(pictures)) == 1


@pytest.mark.parametrize(("pictures", "events"), [(1, 1), (4, 1), (5, 2), (10, 4), (11, 5), (100, 40)])
def test_sends_every_picture_by_default(pictures: int, events: int) -> None:
    assert enough_events(pictures) == events


def test_events_take_the_pictures_in_turn_with_distinct_timestamps_and_ids() -> None:
    pictures = read_pictures([]).usable
    events = list(make_events(pictures, 6))
    assert [[one.path.stem[:2] for one in event.pictures.values()] for event in events] == [
        ["as", "ch", "co", "mo"], ["as"], ["ch", "co"], ["mo", "as", "ch"], ["co", "mo", "as", "ch"], ["co"],
    ]  # fmt: skip
    timestamps = [timestamp for event in events for timestamp in event.pictures]
    assert len(set(timestamps)) == len(timestamps)
    assert len({event.id for event in events}) == len(events)
    assert any(one.endswith("-0000") for one in timestamps)


def test_the_service_can_read_an_event() -> None:
    [event] = make_events(read_pictures([]).usable, 1)
    read = parse_event(event.body("https://camio.com/cb/1"))
    assert (read.rejected, read.warnings) == ((), ())
    assert {one.timestamp: one.data for one in read.pictures} == {
        timestamp: picture.data for timestamp, picture in event.pictures.items()
    }


def test_takes_the_jpeg_files_of_a_folder_and_a_file_of_any_name(tmp_path: Path) -> None:
    sample = (SAMPLES / "coffee.jpg").read_bytes()
    for name in ("b.JPG", "a.jpeg", "notes.txt", "c.odd"):
        (tmp_path / name).write_bytes(sample)
    pictures = read_pictures([tmp_path, tmp_path / "c.odd"])
    assert [one.path.name for one in pictures.usable] == ["a.jpeg", "b.JPG", "c.odd"]
    assert pictures.left_out == []


def test_names_a_folder_without_pictures_and_a_file_that_is_not_one(tmp_path: Path) -> None:
    with pytest.raises(CamiohookdError, match=r"no \.jpg file"):
        read_pictures([tmp_path])
    (tmp_path / "a.jpg").write_bytes(b"text")
    with pytest.raises(CamiohookdError, match=r"a\.jpg: it cannot be read as a picture"):
        read_pictures([tmp_path])


def post(url: str, body: bytes) -> int:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_fake_camio_counts_deliveries_and_answers_as_scripted() -> None:
    answers = [ScriptedResponse(503, {"Retry-After": "1"}), ScriptedResponse(), ScriptedResponse()]
    with FakeCamioThread(lambda event_id, nth: answers[nth]) as camio:
        url = camio.callback_url("e1")
        assert [post(url, body) for body in (b"1", b"2", b"3")] == [503, 200, 200]
        camio.wait_until(lambda deliveries: len(deliveries["e1"]) == 3, timeout=5)
        assert [(one.body, one.status) for one in camio.deliveries["e1"]] == [(b"1", 503), (b"2", 200), (b"3", 200)]
        camio.answer_with(lambda event_id, nth: ScriptedResponse(410))
        assert post(url, b"4") == 410


def test_the_fake_camio_answers_404_to_an_unknown_url_and_405_to_a_get() -> None:
    with FakeCamioThread() as camio:
        assert post(f"{camio.origin}/callback/unknown", b"{}") == 404
        assert camio.strays == 1
        with pytest.raises(urllib.error.HTTPError, match="405") as caught:
            urllib.request.urlopen(camio.callback_url("e1"))
        caught.value.close()


def test_the_fake_camio_restarts_at_the_same_address() -> None:
    with FakeCamioThread() as camio:
        origin = camio.origin
    with FakeCamioThread(port=int(origin.rpartition(":")[2])) as camio:
        assert camio.origin == origin


def test_a_timeout_says_what_arrived() -> None:
    with FakeCamioThread() as camio:
        post(camio.callback_url("e1"), b"{}")
        with pytest.raises(TimeoutError, match=r"'e1': 1"):
            camio.wait_until(lambda deliveries: len(deliveries["e1"]) == 2, timeout=0.1)


RECEIPT = b'{"status": "queued", "id": "17"}'


class TinyHook:
    """A small hook: it gives `answers` before it accepts an event, and sends the reply from `reply_to`."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.reply_to: Callable[[dict[str, Any]], bytes | None] = labels_for
        self.deliveries = 1
        self.after_delivery: Callable[[], None] = lambda: None
        self.content_type = "application/json"
        self.events: list[dict[str, Any]] = []
        self.paths: set[str] = set()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                hook.paths.add(self.path)
                status, headers, body = hook.answers.pop(0) if hook.answers else (200, {}, RECEIPT)
                self.send_response(status)
                for name, value in (headers | {"Content-Length": str(len(body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()
                if status == 200:
                    hook.deliver(event)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def deliver(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        body = self.reply_to(event)
        if body is None:
            return
        for _ in range(self.deliveries):
            request = urllib.request.Request(event["callback_url"], body, {"Content-Type": self.content_type})
            try:
                with urllib.request.urlopen(request) as answer:
                    assert answer.status == 200
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                return  # the simulator has what it needs, and has ended
        self.after_delivery()


def labels_for(event: dict[str, Any]) -> bytes:
    found = {"cat": {"probability": 0.9, "polygon": []}, "dog": {"probability": 0.5, "polygon": BOX}}
    return json.dumps({"status": "success", "labels": {one["timestamp"]: found for one in event["images"]}}).encode()


@pytest.fixture
def hook() -> Iterator[TinyHook]:
    one = TinyHook()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def simulate(
    hook: TinyHook, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("CAMIOHOOKD_HOOK_API_KEY", KEY)

    def run(*arguments: object, url: str | None = hook.url) -> tuple[int, str]:
        address = [] if url is None else ["--url", url]
        status = cli.run(["simulate", *address, "--timeout", "20", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert KEY not in out + err
        return status, out + err

    return run


Simulate = Callable[..., tuple[int, str]]


def test_exits_with_0_if_every_event_comes_back_valid(hook: TinyHook, simulate: Simulate) -> None:
    status, text = simulate("--events", 6, "--rate", 100)
    assert status == 0
    assert "6 of 6 events came back valid" in text
    assert text.count("cat 0.90, dog 0.50") == 6
    assert sorted(len(event["images"]) for event in hook.events) == [1, 1, 2, 3, 4, 4]  # in whatever order they arrive
    assert hook.paths == {f"/tasks/{KEY}"}


def test_the_table_has_a_row_for_each_event(simulate: Simulate) -> None:
    _, text = simulate("--events", 2)
    header, first, second, *_ = text.splitlines()
    assert header.split("  ")[0] == "event"
    assert first.split()[:3] == [first.split()[0], "4", "200"]
    assert first.startswith("0001-")
    assert second.startswith("0002-")
    assert "(median)" in text


def test_images_may_be_several_files_and_folders(hook: TinyHook, simulate: Simulate, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes((SAMPLES / "coffee.jpg").read_bytes())
    status, _ = simulate("--images", tmp_path, SAMPLES / "chelsea.jpg", SAMPLES / "coffee.jpg", "--events", 1)
    assert status == 0
    assert len(hook.events[0]["images"]) == 3


def test_an_image_without_the_option_is_a_usage_error(simulate: Simulate) -> None:
    status, text = simulate(SAMPLES / "chelsea.jpg")
    assert status == 2
    assert "--images" in text


def test_an_invalid_reply_exits_with_1_and_the_problem(hook: TinyHook, simulate: Simulate) -> None:
    hook.reply_to = lambda event: b'{"status": "success", "labels": {}}'
    status, text = simulate("--events", 2)
    assert status == 1
    assert "0 of 2 events came back valid" in text
    assert "is missing" in text
    assert "INVALID" in text


def test_a_reply_with_another_content_type_is_invalid(hook: TinyHook, simulate: Simulate) -> None:
    hook.content_type = "text/plain"
    status, text = simulate()
    assert status == 1
    assert "'text/plain', not application/json" in text


def replies_with(areas: dict[str, Area]) -> Callable[[dict[str, Any]], bytes]:
    """Return a function that replies with these objects; it recognizes the bundled pictures by their bytes."""
    known = {base64.b64encode(path.read_bytes()).decode(): objects for path, objects in KNOWN.items()}

    def reply_to(event: dict[str, Any]) -> bytes:
        labels = {
            image["timestamp"]: {
                one.label: {"probability": 0.9, "polygon": outline(areas[one.label])}
                for one in known[image["image_b64"]]
                if one.label in areas
            }
            for image in event["images"]
        }
        return json.dumps({"status": "success", "labels": labels}).encode()

    return reply_to


SHIPPED = {label: area for label, area in FOUND.items() if label != "bench"}


@pytest.mark.parametrize("missing", [set(), {"cat"}, {"person", "motorcycle"}, {"person", "cat", "motorcycle"}])
def test_accepts_a_model_that_misses_objects_in_the_bundled_pictures(
    missing: set[str], hook: TinyHook, simulate: Simulate
) -> None:
    hook.reply_to = replies_with({label: area for label, area in SHIPPED.items() if label not in missing})
    status, text = simulate()
    assert status == 0, text


@pytest.mark.parametrize("missing", [set(), {"cup"}, {"bench"}, {"person", "cat", "motorcycle"}])
def test_fails_a_hook_that_counts_y_from_the_top_on_the_bundled_pictures(
    missing: set[str], hook: TinyHook, simulate: Simulate
) -> None:
    hook.reply_to = replies_with({label: area.mirrored() for label, area in FOUND.items() if label not in missing})
    status, text = simulate()
    assert status == 1
    assert "bottom-left" in text


@pytest.mark.parametrize("event_form", [False, True])
def test_fails_a_hook_that_finds_nothing_in_the_bundled_pictures(
    event_form: bool, hook: TinyHook, simulate: Simulate
) -> None:
    hook.reply_to = (lambda event: b'{"status": "success", "labels": []}') if event_form else replies_with({})
    status, text = simulate("--events", 2)
    assert status == 1
    assert "nothing was found on the bundled pictures, which show a person, a cat, a cup, a motorcycle, a bench" in text


def test_fails_a_hook_that_mixes_up_its_labels_on_the_bundled_pictures(hook: TinyHook, simulate: Simulate) -> None:
    hook.reply_to = lambda event: b'{"status": "success", "labels": ["zebra", "broccoli"]}'
    status, text = simulate()
    assert status == 1
    assert "only broccoli, zebra was found on the bundled pictures" in text


def test_expects_no_objects_in_other_pictures(hook: TinyHook, simulate: Simulate, tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes((SAMPLES / "coffee.jpg").read_bytes())
    hook.reply_to = replies_with({})
    assert simulate("--images", tmp_path)[0] == 0
    assert simulate("--images", SAMPLES / "coffee.jpg")[0] == 0, "one object may be missed"


@pytest.mark.parametrize(
    "body",
    [b"", b"ok", b"[]", b"{}", b'{"status": "ok"}', b'{"status": "queued"}', b'{"status": "queued", "id": 5}',
     b'{"status": "queued", "id": ""}', b'{"status": [], "id": "5"}', b"[" * 100_000],
)  # fmt: skip
def test_a_200_without_a_receipt_is_a_fault_even_if_the_labels_are_good(
    body: bytes, hook: TinyHook, simulate: Simulate
) -> None:
    hook.answers = [(200, {}, body)]
    status, text = simulate()
    assert status == 1
    assert "the body of the hook's 200 is not" in text
    assert "0 of 1 events came back valid" in text
    assert "labels after never" not in text


@pytest.mark.parametrize("status", ["queued", "duplicate"])
def test_accepts_both_receipts_of_an_event(status: str, hook: TinyHook, simulate: Simulate) -> None:
    hook.answers = [(200, {}, json.dumps({"status": status, "id": "5", "more": 1}).encode())]
    assert simulate()[0] == 0


def test_names_an_unreadable_picture_and_sends_the_others(hook: TinyHook, simulate: Simulate, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"text")
    (tmp_path / "b.jpg").write_bytes((SAMPLES / "coffee.jpg").read_bytes())
    status, text = simulate("--images", tmp_path)
    assert status == 1
    assert "a.jpg: it cannot be read as a picture" in text
    assert "1 of 1 events came back valid" in text
    assert [len(event["images"]) for event in hook.events] == [1]


def on_a_terminal(url: str, *arguments: str) -> str:
    """Return what `simulate` writes to standard error if that is a terminal."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-m", "camiohookd", "simulate", "--url", url, *arguments]
    environment = os.environ | {"CAMIOHOOKD_HOOK_API_KEY": KEY, "TERM": "xterm"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=end) as process:
        os.close(end)
        written = b""
        with suppress(OSError):  # EIO: the other end is closed
            while chunk := os.read(terminal, 4096):
                written += chunk
        os.close(terminal)
        assert process.wait(20) == 0
    return written.decode()


def test_shows_a_progress_bar_on_a_terminal_for_many_events_only(hook: TinyHook) -> None:
    shown = on_a_terminal(hook.url, "--events", "6")
    assert "events" in shown
    assert "100%" in shown
    assert on_a_terminal(hook.url, "--events", "5") == ""


def test_shows_no_progress_bar_without_a_terminal(simulate: Simulate) -> None:
    assert "%" not in simulate("--events", 6)[1]


def test_exits_with_1_and_reports_labels_that_never_arrive(hook: TinyHook, simulate: Simulate) -> None:
    hook.reply_to = lambda event: None if len(event["images"]) == 1 else labels_for(event)
    status, text = simulate("--events", 2, "--timeout", 0.5)
    assert status == 1
    assert "1 of 2 events came back valid" in text
    assert "MISSING" in text
    assert "no labels came within 0.5 s" in text


def test_the_older_form_is_valid_and_reported(hook: TinyHook, simulate: Simulate) -> None:
    hook.reply_to = lambda event: b'{"status": "success", "labels": ["cat"]}'
    status, text = simulate()
    assert status == 0
    assert "1 of the replies were in the older form" in text


def test_posts_to_a_busy_hook_again_after_its_retry_after(hook: TinyHook, simulate: Simulate) -> None:
    hook.answers = [(503, {"Retry-After": "0"}, b"{}")] * 2
    status, text = simulate()
    assert status == 0
    assert "200 (3 posts)" in text


def test_fails_a_hook_that_is_busy_past_the_timeout(hook: TinyHook, simulate: Simulate) -> None:
    hook.answers = [(503, {"Retry-After": "3600"}, b"queue_full")]
    status, text = simulate()
    assert status == 1
    assert "the hook answered 503: queue_full" in text


def test_accepts_and_reports_a_repeated_delivery(hook: TinyHook, simulate: Simulate) -> None:
    hook.deliveries = 2
    repeated = threading.Event()
    hook.after_delivery = repeated.set

    def reply_to(event: dict[str, Any]) -> bytes:
        if len(event["images"]) == 1:
            # The second event waits until the first one's labels have arrived twice.
            repeated.wait(10)
        return labels_for(event)

    hook.reply_to = reply_to
    status, text = simulate("--events", 2)
    assert status == 0
    assert "once more, which the contract allows" in text


def test_shows_the_setting_to_add_if_the_callback_is_refused(hook: TinyHook, simulate: Simulate) -> None:
    error = {"code": "callback_not_allowed", "message": "callbacks to 127.0.0.1 are not allowed", "field": None}
    hook.answers = [(400, {}, json.dumps({"error": error}).encode())]
    status, text = simulate("--listen", "127.0.0.1:0")
    assert status == 1
    [line] = [line for line in text.splitlines() if line.startswith("    allow_hosts")]
    assert line.startswith('    allow_hosts = ["camio.com", "*.camio.com", "http://127.0.0.1:')
    assert "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS='[" in text


def test_masks_the_key_in_an_answer_that_repeats_it(hook: TinyHook, simulate: Simulate) -> None:
    hook.answers = [(404, {}, f"there is no /tasks/{KEY}".encode())]
    status, text = simulate()
    assert status == 1
    assert "/tasks/***" in text


def test_exits_with_1_if_no_hook_listens(simulate: Simulate) -> None:
    status, text = simulate(url="http://127.0.0.1:9")
    assert status == 1
    assert "no answer from http://127.0.0.1:9: Connection refused; is the daemon running?" in text


@pytest.fixture
def https_hook(hook: TinyHook, tmp_path: Path) -> str:
    """Return the address of a hook with https and a self-signed certificate for 127.0.0.1."""
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    hook.server.socket = context.wrap_socket(hook.server.socket, server_side=True, do_handshake_on_connect=False)
    return hook.url.replace("http:", "https:")


def test_reports_https_to_a_plain_http_port(hook: TinyHook, simulate: Simulate) -> None:
    https = hook.url.replace("http:", "https:")
    status, text = simulate(url=https)
    assert status == 1
    assert f"{https} does not speak https: use --url {hook.url}" in text


def test_reports_https_to_a_port_that_does_not_answer(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon takes the TLS handshake for the beginning of a request, and waits for the rest."""
    monkeypatch.setattr(reach, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        status, text = simulate(url=url)
    assert status == 1
    assert f"{url} does not speak https" in text


def test_reports_plain_http_to_an_https_port(hook: TinyHook, simulate: Simulate, https_hook: str) -> None:
    status, text = simulate(url=hook.url)
    assert status == 1
    assert f"{hook.url} speaks https, not plain http: use --url {https_hook}" in text


def test_refuses_a_self_signed_certificate_without_insecure(
    hook: TinyHook, simulate: Simulate, https_hook: str
) -> None:
    status, text = simulate(url=https_hook)
    assert status == 1
    assert "the certificate is not trusted: self-signed certificate" in text
    assert "--insecure to accept every certificate" in text
    assert hook.events == []
    assert simulate("--insecure", url=https_hook)[0] == 0


@pytest.mark.parametrize("any_address", [False, True])
def test_takes_the_address_from_the_settings_by_default(
    hook: TinyHook, simulate: Simulate, monkeypatch: pytest.MonkeyPatch, any_address: bool
) -> None:
    listen = hook.url.removeprefix("http://")
    monkeypatch.setenv("CAMIOHOOKD_HOOK_LISTEN", listen.replace("127.0.0.1", "0.0.0.0") if any_address else listen)
    status, text = simulate(url=None)
    assert status == 0, text
    assert hook.paths == {f"/tasks/{KEY}"}


def test_uses_https_by_default_if_the_hook_has_a_certificate_for_any_name(
    hook: TinyHook, simulate: Simulate, https_hook: str, tmp_path: Path
) -> None:
    listen = hook.url.removeprefix("http://")
    (tmp_path / "c.toml").write_text(f'[hook]\nlisten = "{listen}"\ntls_cert = "/c.pem"\ntls_key = "/k.pem"\n')
    status, text = simulate("--config", tmp_path / "c.toml", url=None)
    assert status == 0, text


def test_listening_on_all_addresses_uses_the_address_that_the_hook_sees(hook: TinyHook, simulate: Simulate) -> None:
    status, _ = simulate("--listen", "0.0.0.0:0")
    assert status == 0
    assert hook.events[0]["callback_url"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("text", [KEY, f"\n# the keys\ncamio {KEY} # mine\nother b-key-of-the-tests\n"])
def test_the_key_can_come_from_a_file(
    text: str, hook: TinyHook, simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMIOHOOKD_HOOK_API_KEY")
    (tmp_path / "key").write_text(text)
    assert simulate("--key-file", tmp_path / "key")[0] == 0
    assert hook.paths == {f"/tasks/{KEY}"}


def test_the_key_can_come_from_the_configuration(
    hook: TinyHook, simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMIOHOOKD_HOOK_API_KEY")
    (tmp_path / "c.toml").write_text(f'[hook]\napi_key = "{KEY}"\n')
    assert simulate("--config", tmp_path / "c.toml")[0] == 0
    assert hook.paths == {f"/tasks/{KEY}"}


def test_reports_a_configuration_error_without_a_key(
    simulate: Simulate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CAMIOHOOKD_HOOK_API_KEY")
    (tmp_path / "c.toml").write_text("")
    (tmp_path / "key").write_text("\n# nothing\n")
    assert simulate("--config", tmp_path / "c.toml")[0] == 78
    assert simulate("--key-file", tmp_path / "key")[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--url", "127.0.0.1:8000"),
        ("--url", "http://127.0.0.1:8000/tasks/x"),
        ("--url", "http://127.0.0.1:8000/?x"),
        ("--listen", "9000"),
        ("--listen", "127.0.0.1:99999"),
        ("--events", "0"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--timeout", "nan"),
        ("--timeout", "inf"),
        ("--images", "/nowhere"),
    ],
)
def test_a_wrong_option_is_a_usage_error(arguments: tuple[str, str], simulate: Simulate) -> None:
    status, text = simulate(*arguments)
    assert status == 2
    assert arguments[0] in text


def test_exits_with_1_if_the_listening_address_is_in_use(hook: TinyHook, simulate: Simulate) -> None:
    status, text = simulate("--listen", hook.url.removeprefix("http://"))
    assert status == 1
    assert "--listen 127.0.0.1:" in text
