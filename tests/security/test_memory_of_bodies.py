"""Post many large and odd events at once to the real daemon: memory stays bounded, and answers are clear."""

import gzip
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random

import requests

from tests.support.daemon_process import Daemon, event_body
from tests.support.odd_bodies import ODD
from tests.support.responsiveness import Watch

PATIENCE = 120
MEGABYTE = 1024 * 1024
NOBODY = "http://127.0.0.1:1"
BOUND = 300_000_000
STAYS = 60_000_000
SENDERS = 10
SILENCE = 0.2
"""Seconds of the daemon's own work, at most, for which another client may wait: other programs do not change them."""
LONG_SILENCE = 2.0
"""The same for whatever else it may wait for: a generous bound, because other programs do change that."""

Body = bytes | Iterable[bytes]
Print = Callable[[str], None]


@contextmanager
def measured(folder: Path, what: str, print_figure: Print) -> Iterator[Daemon]:
    """Yield a daemon. Check that its peak memory stays within the bound, and that it soon frees what it took.

    Check also that another client is answered meanwhile, and print how soon; `what` says what goes on.
    """
    with Daemon(folder, NOBODY) as daemon:
        post(daemon, event("warm-up", 1000))
        before = daemon.memory()
        with Watch(daemon) as watch:
            yield daemon
        print_figure(f"while {what}: {watch.sentence()}")
        assert max(answer.working for answer in watch.answers) < SILENCE
        assert max(answer.without_queueing for answer in watch.answers) < LONG_SILENCE
        most = daemon.most_memory() - before
        assert most < BOUND
        ends = time.monotonic() + PATIENCE
        while daemon.memory() - before > STAYS:
            assert time.monotonic() < ends, f"{daemon.memory() - before} bytes are still in use"
            time.sleep(0.1)
        kept = max(0, daemon.memory() - before)
        print_figure(f"while {what}: {most / 1e6:.0f} MB of memory at most, {kept / 1e6:.0f} MB afterwards")


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
    """Post all bodies at once, and count the answers by kind."""
    with ThreadPoolExecutor(len(bodies)) as pool:
        return Counter(pool.map(lambda body: post(daemon, body, encoding), bodies))


def in_pieces(body: bytes) -> Iterator[bytes]:
    """Yield the body in pieces, so that it is sent chunked, without a length."""
    yield body[: len(body) // 2]
    yield body[len(body) // 2 :]


CROWDS: dict[str, tuple[Callable[[bytes], Body], str]] = {
    "chunked": (in_pieces, "identity"),
    "gzip": (gzip.compress, "gzip"),
    "both": (lambda body: in_pieces(gzip.compress(body)), "gzip"),
}


def test_accepts_many_small_events_at_once_chunked_or_packed(tmp_path: Path, print_figure: Print) -> None:
    with measured(tmp_path, "20 small events at once are read", print_figure) as daemon:
        for name, (form, encoding) in CROWDS.items():
            bodies = [form(event(f"{name}-{number}", 60_000)) for number in range(20)]
            assert post_all(daemon, bodies, encoding) == {(200, "queued"): 20}, name


def test_accepts_many_of_the_largest_events_at_once_within_the_bound(
    tmp_path: Path, long_run: bool, print_figure: Print
) -> None:
    with measured(tmp_path, f"{SENDERS} events of 32 MiB at once are read", print_figure) as daemon:
        for pictures in (2, 1000) if long_run else (2,):
            bodies: list[Body] = [
                event(f"large-{pictures}-{number}", 32 * MEGABYTE - 100_000, pictures) for number in range(SENDERS)
            ]
            assert post_all(daemon, bodies) == {(200, "queued"): SENDERS}


def test_many_exploding_bodies_at_once_stay_within_the_bound(
    tmp_path: Path, long_run: bool, print_figure: Print
) -> None:
    """With `--long`, post as many at once as the bound allows; otherwise a few."""
    count = SENDERS if long_run else 4
    with measured(tmp_path, f"{count} to {SENDERS} bad bodies at once are read", print_figure) as daemon:
        post(daemon, ODD["escapes"].make())
        for name, (make, answer) in ODD.items():
            body = make()
            assert post_all(daemon, [body] * count) == {answer: count}, name
            if long_run or name in ("objects", "400 kB of numbers"):
                assert post_all(daemon, [gzip.compress(body)] * SENDERS, "gzip") == {answer: SENDERS}, name


def test_the_limit_of_json_beside_pictures_is_a_setting(tmp_path: Path) -> None:
    body = json.loads(event("setting", 1000))
    with Daemon(tmp_path, NOBODY, {"CAMIOHOOKD_HOOK_MAX_JSON_BYTES": "2 kB"}) as daemon:
        assert post(daemon, json.dumps(body | {"more": "x" * 3000}).encode()) == (400, "too_large")
        assert post(daemon, json.dumps(body | {"more": "x" * 1000}).encode()) == (200, "queued")
