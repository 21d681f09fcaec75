"""Post many large and odd events at once to the real daemon: memory stays bounded, and answers are clear."""

import gzip
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import requests

from tests.support.daemon_process import Daemon, event_body

PATIENCE = 120
MEGABYTE = 1024 * 1024
NOBODY = "http://127.0.0.1:1"
BOUND = 300_000_000
STAYS = 60_000_000
SENDERS = 10
# A generous bound on how long the event loop may not answer: the machine may be busy. tests/bench measures it.
SILENCE = 2.0

Body = bytes | Iterable[bytes]


@contextmanager
def measured(folder: Path) -> Iterator[Daemon]:
    """Yield a daemon. Check that its peak memory stays within the bound, and that it soon frees what it took."""
    with Daemon(folder, NOBODY) as daemon:
        post(daemon, event("warm-up", 1000))
        before = daemon.memory()
        yield daemon
        assert daemon.most_memory() - before < BOUND
        ends = time.monotonic() + PATIENCE
        while daemon.memory() - before > STAYS:
            assert time.monotonic() < ends, f"{daemon.memory() - before} bytes are still in use"
            time.sleep(0.1)


def event(name: str, size: int, pictures: int = 1) -> bytes:
    """Return an event whose body has almost `size` bytes."""
    noise = Random(name)
    each = (size // pictures - 150) * 3 // 4
    return event_body(f"{NOBODY}/{name}", pictures=[noise.randbytes(each) for _ in range(pictures)])


def post(daemon: Daemon, body: Body, encoding: str = "identity") -> tuple[int, str]:
    answer = requests.post(daemon.url, body, headers={"Content-Encoding": encoding}, timeout=PATIENCE)
    told = answer.json()
    return answer.status_code, told.get("status") or told["error"]["code"]


def post_all(daemon: Daemon, bodies: list[Body], encoding: str = "identity") -> Counter[tuple[int, str]]:
    """Post all bodies at once, and count the answers by kind. Check that another client is answered meanwhile."""
    with ThreadPoolExecutor(len(bodies)) as pool, others_are_answered(daemon):
        return Counter(pool.map(lambda body: post(daemon, body, encoding), bodies))


@contextmanager
def others_are_answered(daemon: Daemon) -> Iterator[None]:
    over, longest = threading.Event(), 0.0

    def look() -> None:
        nonlocal longest
        with requests.Session() as session:
            while not over.is_set():
                began = time.monotonic()
                assert session.get(f"http://127.0.0.1:{daemon.port}/tasks/", timeout=PATIENCE).status_code == 200
                longest = max(longest, time.monotonic() - began)
                time.sleep(0.02)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        try:
            yield
        finally:
            over.set()
        looking.result()
    assert longest < SILENCE


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Yield the body in pieces, so that it is sent chunked, without a length."""
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


CROWDS: dict[str, tuple[Callable[[bytes], Body], str]] = {
    "chunked": (in_pieces, "identity"),
    "gzip": (gzip.compress, "gzip"),
    "both": (lambda body: in_pieces(gzip.compress(body)), "gzip"),
}


def test_accepts_many_small_events_at_once_chunked_or_packed(tmp_path: Path) -> None:
    with measured(tmp_path) as daemon:
        for name, (form, encoding) in CROWDS.items():
            bodies = [form(event(f"{name}-{number}", 60_000)) for number in range(20)]
            assert post_all(daemon, bodies, encoding) == {(200, "queued"): 20}, name


def test_accepts_many_of_the_largest_events_at_once_within_the_bound(tmp_path: Path, long_run: bool) -> None:
    with measured(tmp_path) as daemon:
        for pictures in (2, 1000) if long_run else (2,):
            bodies: list[Body] = [
                event(f"large-{pictures}-{number}", 32 * MEGABYTE - 100_000, pictures) for number in range(SENDERS)
            ]
            assert post_all(daemon, bodies) == {(200, "queued"): SENDERS}


IMAGE = b'{"callback_url": "http://127.0.0.1:1/odd", "images": [{"timestamp": "2017", "image_b64": "%b"}]}'
SIZE = 32 * MEGABYTE - 1024


def filled(head: bytes, some: bytes, tail: bytes, size: int = SIZE) -> bytes:
    return head + some * ((size - len(head) - len(tail)) // len(some)) + tail


TOO_LARGE, MISSING = (400, "too_large"), (400, "missing")
ODD: dict[str, tuple[bytes, tuple[int, str]]] = {
    "objects": (filled(b'{"a":[', b'{"":0},', b"0]}"), TOO_LARGE),
    "lists": (filled(b'{"a":[', b"[],", b"0]}"), TOO_LARGE),
    "numbers": (filled(b'{"a":[', b"1e999,", b"0]}"), TOO_LARGE),
    "text": (filled(b'{"a":"', "\N{GRINNING FACE}".encode(), b'"}'), TOO_LARGE),
    "names": (filled(b"", b'{"image_b64":"",', b""), TOO_LARGE),
    "400 kB of lists": (filled(b'{"a":[', b"[],", b"0]}", 400_000), MISSING),
    "400 kB of numbers": (filled(b'{"a":[', b"1e999,", b"0]}", 400_000), MISSING),
    "emoji": (IMAGE % filled(b"", "\N{GRINNING FACE}".encode(), b""), (400, "no_usable_picture")),
    "escapes": (IMAGE % filled(b"", rb"\u0041", b""), (200, "duplicate")),
}


def test_many_exploding_bodies_at_once_stay_within_the_bound(tmp_path: Path, long_run: bool) -> None:
    """With `--long`, post as many at once as the bound allows; otherwise a few."""
    with measured(tmp_path) as daemon:
        post(daemon, ODD["escapes"][0])
        for name, (body, answer) in ODD.items():
            count = SENDERS if long_run else 4
            assert post_all(daemon, [body] * count) == {answer: count}, name
            if long_run or name in ("objects", "400 kB of numbers"):
                assert post_all(daemon, [gzip.compress(body)] * SENDERS, "gzip") == {answer: SENDERS}, name


def test_the_limit_of_json_beside_pictures_is_a_setting(tmp_path: Path) -> None:
    body = json.loads(event("setting", 1000))
    with Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_JSON_BYTES": "2 kB"}) as daemon:
        assert post(daemon, json.dumps(body | {"more": "x" * 3000}).encode()) == (400, "too_large")
        assert post(daemon, json.dumps(body | {"more": "x" * 1000}).encode()) == (200, "queued")
