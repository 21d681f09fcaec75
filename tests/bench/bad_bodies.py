"""How soon ``GET /tasks/`` is answered while ten bodies that explode when they are read come at once.

The baseline is a bare Tornado server that is asked at the same moments: it waits for the processor as well. The bound
holds for the daemon's own work, which other programs on the machine do not change.
"""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import requests

from tests.bench import rig
from tests.bench.camio import TIMEOUT
from tests.bench.harness import Bench, Result, at_most, result
from tests.support.daemon_process import Daemon
from tests.support.figures import percentile
from tests.support.odd_bodies import ODD
from tests.support.responsiveness import Watch

SENDERS = 10
MILLI = 1000


def run(bench: Bench) -> Iterator[Result]:
    names = list(ODD)[: bench.count(len(ODD), 1)]
    with rig.daemon(bench.place("bad_bodies"), settings=rig.STALLED_LABELER) as daemon:
        post(daemon, ODD["escapes"].make(), "identity")  # the others of its kind are duplicates
        with Watch(daemon) as watch:
            for name in names:
                body = ODD[name].make()
                post_all(daemon, body, "identity")
                post_all(daemon, gzip.compress(body, 1), "gzip")
    seconds = [answer.seconds for answer in watch.answers]
    bare = [answer.bare for answer in watch.answers]
    working = max(answer.working for answer in watch.answers)
    what = f"GET /tasks/ while {SENDERS} bad bodies are read"
    yield result(
        "bad_bodies", f"p99 of {what}", MILLI * percentile(seconds, 0.99), "ms", baseline=MILLI * percentile(bare, 0.99)
    )
    yield result("bad_bodies", f"worst {what}", MILLI * max(seconds), "ms", baseline=MILLI * max(bare))
    metric = "the daemon's own work in the worst of them"
    yield result("bad_bodies", metric, MILLI * working, "ms", target=at_most(200, 100))


def post_all(daemon: Daemon, body: bytes, encoding: str) -> None:
    with ThreadPoolExecutor(SENDERS) as pool:
        for answer in [pool.submit(post, daemon, body, encoding) for _ in range(SENDERS)]:
            answer.result()


def post(daemon: Daemon, body: bytes, encoding: str) -> None:
    answer = requests.post(daemon.url, body, headers={"Content-Encoding": encoding}, timeout=TIMEOUT)
    assert answer.status_code in (200, 400), answer.text
