"""Durable accepts per second over loopback: eight connections, events of four pictures of 100 KB.

Two baselines: a bare Tornado handler that decodes the same JSON and stores nothing, and one that also checks the event
as the daemon does. Nothing is labeled meanwhile.

What keeps it from more, on 28 November 2026, in processor time on two shared cores (`python -m tests.bench cost`,
cProfile, py-spy): 1.44 ms an accept, where the bare handler takes 1.05. The event loop takes 0.93 of them, in 1,650
calls of functions, of which Tornado and asyncio make more than half. Alone and with warm caches, reading and checking
an event takes 0.08 ms, making its record 0.02, its log line 0.02. The thread that writes takes 0.5, half of it in the
kernel; its own 400 calls take 0.07 with warm caches. The disk is not the bound: a sync takes 0.3 ms, a new segment 0.2
for ten events. Only one thread at a time runs Python, and the posters use the same two cores. For each accept, the
thread that writes waits seven times for Python's lock (context switches in /proc, strace).
Tried on 29 November and left out: asking for the disk's free space once a commit instead of three times (as much
processor time, .97 of the rate), switch intervals of .5 and 20 ms (1.01 and .96 of the rate), and to wait .5, 1 or 2 ms
for more events before a commit (.98, .93 and .79 of the processor time, but .98, .96 and .88 of the rate, because eight
connections wait for their answers; medians of eight to ten pairs).
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
