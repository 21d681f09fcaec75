"""Durable accepts per second over loopback: eight connections, events of four pictures of 100 KB.

Two baselines: a bare Tornado handler that decodes the same JSON and stores nothing, and one that also checks the event
as the daemon does. Nothing is labeled meanwhile.
"""

from collections.abc import Iterator
from functools import partial

from tests.bench import rig
from tests.bench.camio import Events, accepts
from tests.bench.harness import Bench, Result, alternate, at_least, result
from tests.bench.pictures import jpegs, padded

PICTURE_BYTES = 100_000


def events() -> Events:
    return Events("http://127.0.0.1:9", padded(jpegs(640, 480), PICTURE_BYTES))


def run(bench: Bench) -> Iterator[Result]:
    seconds, bodies = bench.scaled(2, 0.3), events()
    with (
        rig.daemon(bench.place("accept"), settings=rig.STALLED_LABELER) as ours,
        rig.serving("bare_handler") as (bare, _),
        rig.serving("bare_handler", "checking") as (checking, _),
    ):
        ports = {"bare": bare, "ours": ours.port, "checking": checking}
        rates = alternate({name: partial(accepts, port, rig.PATH, bodies, seconds) for name, port in ports.items()})
    target = at_least(0.70, 0.90)
    yield result("accept", "durable accepts", rates["ours"], "/s", baseline=rates["bare"], target=target)
    metric = "durable accepts, against one that checks the event, too"
    yield result("accept", metric, rates["ours"], "/s", baseline=rates["checking"])
