"""Send false, huge and malformed bodies and headers to the real daemon: it answers clearly, its memory stays small."""

import base64
import gzip
import io
import json
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.support.daemon_process import KEY, Daemon, event_body
from tests.support.raw_http import end_sending, head, read_all, read_answer

PATIENCE = 60
MEGABYTE = 1024 * 1024
LIMIT = 4 * MEGABYTE
NOBODY = "http://127.0.0.1:1"
GROWTH = 40 * MEGABYTE  # bytes: room for several packed and unpacked bodies, and for what Python's allocator keeps

numbers = count()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    settings = {
        "CAMIOHOOKD_HOOK_MAX_BODY_BYTES": "4 MiB",
        "CAMIOHOOKD_HOOK_HEADER_TIMEOUT": "3s",
        "CAMIOHOOKD_HOOK_MAX_JSON_DEPTH": "10",
        "CAMIOHOOKD_HOOK_MAX_IMAGES": "5",
        "CAMIOHOOKD_IMAGES_MAX_BYTES": "1 MB",
        "CAMIOHOOKD_IMAGES_MAX_PIXELS": "10000",
    }
    with Daemon(tmp_path_factory.mktemp("bodies"), NOBODY, settings) as running:
        requests.post(running.url, event(), timeout=PATIENCE)  # do not count what loads with the first event
        yield running


@pytest.fixture
def bounded(daemon: Daemon) -> Iterator[Daemon]:
    """Yield the daemon, and check afterwards that its memory has grown little."""
    before = daemon.memory()
    yield daemon
    assert daemon.memory() - before < GROWTH


def event(**fields: object) -> bytes:
    body = json.loads(event_body(f"{NOBODY}/{next(numbers)}", pictures=[b"none"]))
    return json.dumps(body | fields).encode()


def post(daemon: Daemon, body: bytes, **headers: str) -> tuple[int, str]:
    """Return the HTTP status, and the event's status or the error's code."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = requests.post(daemon.url, body, headers=named, timeout=PATIENCE)
    told = answer.json()
    return answer.status_code, told.get("status") or told["error"]["code"]


def connect(daemon: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port), PATIENCE)


def is_well(daemon: Daemon) -> bool:
    return post(daemon, event()) == (200, "queued")


# --- gzip


def test_accepts_an_event_in_gzip(daemon: Daemon) -> None:
    body = event()
    assert post(daemon, gzip.compress(body), Content_Encoding="gzip") == (200, "queued")
    assert post(daemon, gzip.compress(body), Content_Encoding="X-GZip") == (200, "duplicate")
    assert post(daemon, body, Content_Encoding="identity") == (200, "duplicate")
    chunked = requests.post(
        daemon.url, iter([gzip.compress(body)]), headers={"Content-Encoding": "gzip"}, timeout=PATIENCE
    )
    assert chunked.json()["status"] == "duplicate"


def test_the_limit_applies_to_the_unpacked_bytes(daemon: Daemon) -> None:
    body = event()
    largest = body.ljust(LIMIT)
    assert post(daemon, gzip.compress(largest), Content_Encoding="gzip") == (200, "queued")
    assert post(daemon, gzip.compress(largest + b" "), Content_Encoding="gzip") == (413, "too_large")


@cache
def bomb() -> bytes:
    """Return one gigabyte of spaces, packed with gzip into about a megabyte."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    some = b" " * MEGABYTE
    return b"".join([*(packer.compress(some) for _ in range(1024)), packer.flush()])


def test_a_gzip_bomb_is_a_413_and_is_not_unpacked(bounded: Daemon) -> None:
    assert len(bomb()) < LIMIT
    for _ in range(5):
        assert post(bounded, bomb(), Content_Encoding="gzip") == (413, "too_large")
    assert is_well(bounded)


def test_a_bomb_within_a_bomb_is_not_json(bounded: Daemon) -> None:
    assert post(bounded, gzip.compress(bomb()), Content_Encoding="gzip") == (400, "not_json")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[:-1],
        lambda packed: packed[:20],
        lambda packed: packed[:-8] + bytes(8),
        lambda packed: packed + b"x",
        lambda packed: packed + packed,
        lambda packed: packed[10:],
        lambda packed: zlib.compress(b"{}"),
        lambda packed: b"{}",
        lambda packed: b"\x1f\x8b",
    ],
)
def test_a_malformed_gzip_body_is_a_400(daemon: Daemon, spoil: Callable[[bytes], bytes]) -> None:
    assert post(daemon, spoil(gzip.compress(event())), Content_Encoding="gzip") == (400, "bad_gzip")


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "gzip;q=1", "zstd", "GZIP2"])
def test_another_content_encoding_is_a_415(daemon: Daemon, encoding: str) -> None:
    assert post(daemon, gzip.compress(event()), Content_Encoding=encoding) == (415, "encoded_body")


# --- JSON and base64


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":['])
def test_a_json_bomb_is_a_400_without_memory_growth(bounded: Daemon, opening: bytes) -> None:
    assert post(bounded, opening * (LIMIT // len(opening)))[0] == 400
    assert is_well(bounded)


def test_limits_nesting_images_and_base64(bounded: Daemon) -> None:
    assert post(bounded, event(deep=[[[[[[[[[]]]]]]]]])) == (200, "queued")
    assert post(bounded, event(deep=[[[[[[[[[[]]]]]]]]]])) == (400, "too_deep")
    image = {"timestamp": "2017-05-05T01:31:00", "image_b64": base64.b64encode(b"none").decode()}
    assert post(bounded, event(images=[image] * 5)) == (200, "queued")
    assert post(bounded, event(images=[image] * 6))[0] == 400
    long = {"timestamp": "2017-05-05T01:31:01", "image_b64": "A" * (3 * MEGABYTE)}
    assert post(bounded, event(images=[image, long])) == (200, "queued")
    assert "picture images[1].image_b64 left out: it is too long: 3,145,728 characters" in bounded.log
    assert post(bounded, event(images=[long]))[0] == 400


@pytest.mark.parametrize(
    ("picture_bytes", "status", "code"), [("20 MB", 400, "no_usable_picture"), ("30 MB", 200, "queued")]
)
def test_32_mb_of_base64_take_a_few_copies_and_are_freed(
    tmp_path: Path, picture_bytes: str, status: int, code: str
) -> None:
    """The base64 is longer than a picture may be, or short enough but not a picture."""
    letters = "A" * (32 * MEGABYTE - 1024)
    body = event(images=[{"timestamp": "2017-05-05T01:31:00", "image_b64": letters}])
    assert len(body) <= 32 * MEGABYTE
    with Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_IMAGES_MAX_BYTES": picture_bytes}) as daemon:
        post(daemon, event())
        before = daemon.memory()
        assert post(daemon, body) == (status, code)
        assert daemon.most_memory() - before < 6 * 32 * MEGABYTE
        wait_for(lambda: daemon.memory() - before < GROWTH)


def wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "timed out"
        time.sleep(0.05)


def test_a_picture_with_too_many_pixels_is_not_decoded(bounded: Daemon) -> None:
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG")
    picture = bytearray(file.getvalue())
    size = picture.index(b"\xff\xc0") + 5  # height and width in the frame header, two bytes each (ITU-T T.81, B.2.2)
    picture[size : size + 4] = b"\xff" * 4
    answer = requests.post(bounded.url, event_body(f"{NOBODY}/pixels", pictures=[bytes(picture)]), timeout=PATIENCE)
    assert answer.status_code == 200
    wait_for(lambda: "the picture has too many pixels: 65535 x 65535 is 4,294,836,225 pixels" in bounded.log)


# --- lengths and framing


def test_a_body_shorter_than_declared_is_a_408_and_a_longer_one_a_bad_request(daemon: Daemon) -> None:
    body = event()
    with connect(daemon) as connection:
        connection.sendall(head("POST", f"/tasks/{KEY}", f"Content-Length: {len(body) + 1}") + body)
        assert read_answer(connection)[0] == 408
    with connect(daemon) as connection:
        connection.sendall(head("POST", f"/tasks/{KEY}", f"Content-Length: {len(body) - 1}") + body)
        assert read_answer(connection)[0] == 400, "the shortened body is not JSON"
        end_sending(connection)
        assert read_all(connection)[:12] in (b"", b"HTTP/1.1 400")


def test_a_declared_length_over_the_limit_is_a_413(bounded: Daemon) -> None:
    for length in (LIMIT + 1, 1 << 40, 10**300):
        with connect(bounded) as connection:
            connection.sendall(head("POST", f"/tasks/{KEY}", f"Content-Length: {length}"))
            assert read_answer(connection)[0] == 413


def test_a_chunked_body_over_the_limit_is_a_413(bounded: Daemon) -> None:
    with connect(bounded) as connection:
        connection.sendall(head("POST", f"/tasks/{KEY}", "Transfer-Encoding: chunked"))
        for _ in range(LIMIT // 65536 + 1):
            connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert read_answer(connection)[0] == 413


TASKS = f"/tasks/{KEY}"
SMUGGLED = head("GET", TASKS, "Connection: close")
CHUNKED = head("POST", TASKS, "Transfer-Encoding: chunked")
TWO_LENGTHS = [
    head("POST", TASKS, "Content-Length: 0", "Transfer-Encoding: chunked"),
    head("POST", TASKS, "Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n",
    head("POST", TASKS, "Content-Length: 0", "Content-Length: 60"),
    head("POST", TASKS, "Content-Length: 0", "Content-Length: 0"),
    head("POST", TASKS, "Content-Length: 0, 0"),
    f"POST {TASKS} HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode(),
    *(
        head("POST", TASKS, f"Transfer-Encoding: {coding}") + b"0\r\n\r\n"
        for coding in (
            *(
                "identity, chunked",
                "chunked, identity",
                ",chunked",
                "xchunked",
                '"chunked"',
                "chunked;q=1",
                "\x0bchunked",
            ),
            *("chunked\r\nTransfer-Encoding: x", "\r\n chunked"),
        )
    ),
    head("POST", TASKS, "Transfer-Encoding : chunked") + b"0\r\n\r\n",
]
ODD_LENGTHS = [
    *(head("POST", TASKS, f"Content-Length: {odd}") for odd in ("+0", "-0", "0x0", "0_0", "\xb2", "1 0", "\xa00", "")),
    head("POST", TASKS, "Content-Length : 0"),
    head("POST", TASKS, "X Content-Length: 0"),
]
ODD_CHUNKS = [
    *(
        CHUNKED + size + b"\r\n\r\n"
        for size in (b"0x0", b"-0", b"+0", b"0_0", b" 0", b"0 ", b"0;", b"0;a=\x00", b"0;a=b\n", b"\xef\xbc\x90", b"")
    ),
    *(CHUNKED + ends for ends in (b"0\n\n", b"0\n\r\n", b"0\r\n\n", b"0\r\nContent-Length: 60\r\n\r\n")),
    *(CHUNKED + body + b"0\r\n\r\n" for body in (b"1\r\n  \r\n", b"3\r\n  \r\n", b"2;\n{}\r\n")),
    CHUNKED + b"1" + b"0" * 17 + b"\r\n",
    CHUNKED + b"0" * 5000 + b"\r\n\r\n",
]
ODD_HEADS = [
    head("GET", "/", "X: a\r b"),
    head("GET", "/", "X: a\r\n Content-Length: 60"),
    *(head("GET", "/", odd) for odd in ("X: \0", "X: \x0b", "X: \x01", "X\x7f: 1", ": 1", "no colon", "Host: other")),
    b"GET / HTTP/1.1\nHost: box\n\n",
    b"GET / HTTP/1.1\r\nHost: box\nContent-Length: 0\r\n\r\n",
    b"GET / HTTP/1.1\rHost: box\r\n\r\n",
    b"GET / HTTP/1.1\r\n Host: box\r\n\r\n",
    b"\r\n\r\n" + head("GET", "/"),
    *(
        b"GET / %b\r\nHost: box\r\n\r\n" % odd
        for odd in (b" HTTP/1.1", b"HTTP/1.1x", b"HTTP/1.10", b"http/1.1", b"HTTP/2.0")
    ),
    b"GET /\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + head("GET", "/"),
    head("GET", "/", f"Content-Length: {len(SMUGGLED)}"),
]


@pytest.mark.parametrize("sent", [*TWO_LENGTHS, *ODD_LENGTHS, *ODD_CHUNKS, *ODD_HEADS])
def test_an_ambiguous_request_cannot_smuggle_another(daemon: Daemon, sent: bytes) -> None:
    answer = everything_after(daemon, sent + SMUGGLED)
    assert b'"pending"' not in answer
    assert re.findall(rb"HTTP/1\.1 ([0-9]{3})", answer) in ([], [b"400"], [b"413"])


@pytest.mark.parametrize("sound", [head("GET", "/"), head("POST", TASKS, "Content-Length: 0"), CHUNKED + b"0\r\n\r\n"])
def test_a_request_behind_a_well_formed_one_is_served(daemon: Daemon, sound: bytes) -> None:
    assert b'"pending"' in everything_after(daemon, sound + SMUGGLED)


def everything_after(daemon: Daemon, sent: bytes) -> bytes:
    """Send `sent`, and return all bytes that the daemon answers until it closes the connection."""
    with connect(daemon) as connection:
        connection.sendall(sent)
        answer = b""
        with suppress(ConnectionError):  # the daemon may close while bytes are unread
            while chunk := connection.recv(65536):
                answer += chunk
    return answer


@pytest.mark.parametrize("line", [b"X: y\r\n", b"X" * 100 + b": y\r\n", b"X: " + b"y" * 60000 + b"\r\n"])
def test_a_flood_of_headers_closes_the_connection(bounded: Daemon, line: bytes) -> None:
    with connect(bounded) as connection:
        connection.sendall(head("GET", f"/tasks/{KEY}")[:-2])
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            for _ in range(300 * MEGABYTE // len(line)):
                connection.sendall(line)
    assert is_well(bounded)


def test_pipelined_requests_are_all_served(bounded: Daemon) -> None:
    with connect(bounded) as connection:
        connection.sendall(head("GET", "/") * 500)
        assert {read_answer(connection)[0] for _ in range(500)} == {200}
