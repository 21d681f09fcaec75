"""Pictures per second through the whole daemon: posted, queued, decoded, labeled, delivered to a local callback.

One baseline is the fastest bare program on the same pictures, model and cores, the other a script that handles one
event at a time, with ONNX Runtime as it comes. `label_4k` does the same with 4K pictures.

What keeps it from more, on 28 November 2026, on two cores that posters and receivers share: the bare program takes
12.3 ms of processor time a picture, of which ONNX Runtime takes 9; 84 % of that are the quantized convolutions, which
the project cannot make faster (ONNX Runtime's own profile). The daemon takes about 14 ms. It saves 0.9 ms where it
decodes at half the size, and 0.6 ms because the graph takes bytes. It adds for each event of four pictures 3.4 ms in
the event loop, 2.7 in the store thread, 1.2 in deliveries, 0.5 in the history, and 4.4 ms of Python in the label
threads (perf, by thread); no function of the project's takes much of that alone (py-spy). Pillow's resize takes 0.8
ms a picture; its faster filters are coarser. 6 % of both cores are idle. A third label thread took 1.06 of the
processor time. A shorter switch interval (1 and 0.2 ms) and one more event in hand change nothing. ONNX Runtime does
not spin, because each run has one thread. Preallocated outputs (`IOBinding`) take .99 of the time of a run, no memory
pattern .97, no arena .99 (medians of 55 pairs, whose spread is larger). The graph takes one picture a run, so that
pictures of two events cannot share one.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from tests.bench import rig
from tests.bench.bare_labels import loops
from tests.bench.camio import Connection, Events, Receiver, in_parallel, unique
from tests.bench.harness import Bench, Result, Target, alternate, at_least, result
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon

IN_FLIGHT = 12
"""Number of cameras. Each posts the next event when the last one's labels arrive: enough to keep all cores busy."""

SCRIPT = "a script, one event at a time"


class Addressed(Protocol):
    """What events are posted to: a daemon, or a balancer before several."""

    port: int


def run(bench: Bench) -> Iterator[Result]:
    yield from measure("label", bench, 640, 480, bench.scaled(2.5, 0.5), at_least(0.85, 0.95))


def measure(name: str, bench: Bench, width: int, height: int, seconds: float, target: Target) -> Iterator[Result]:
    """Compare with the fastest bare program, and with an owner's first script, which shares and skips nothing."""
    cores = rig.cores()
    shapes = {f"one thread, intra_op = {cores}": (1, cores), f"{cores} threads, intra_op = 1": (cores, 1)}
    with (
        Receiver() as receiver,
        loops(width, height, shapes | {SCRIPT: (1, 0)}) as bare,
        rig.daemon(bench.place(name), receiver.origin) as daemon,
    ):
        events = Events(receiver.origin, jpegs(width, height))
        labeled(daemon, receiver, events, seconds / 4)  # warm
        rates = alternate(
            {
                "ours": lambda: 4 * labeled(daemon, receiver, events, seconds),
                **{shape: partial(bare[shape], f"rate {seconds}") for shape in shapes},
                SCRIPT: partial(bare[SCRIPT], f"alone {seconds}"),
            }
        )
    ours, script = rates.pop("ours"), rates.pop(SCRIPT)
    fastest = max(rates, key=lambda shape: rates[shape])
    metric = f"pictures labeled, against {fastest}"
    yield result(name, metric, ours, "/s", baseline=rates[fastest], target=target)
    yield result(name, f"pictures labeled, against {SCRIPT}", ours, "/s", baseline=script, target=at_least(1, 1.2))


def labeled(daemon: Addressed, receiver: Receiver, events: Events, seconds: float) -> float:
    """Return events delivered per second, with `IN_FLIGHT` always on their way."""
    ends = time.perf_counter() + seconds
    return _steady(_delivered(daemon, receiver, events, lambda _: time.perf_counter() < ends))


def deliver(daemon: Daemon, receiver: Receiver, events: Events, count: int) -> None:
    """Have `count` events labeled and delivered."""
    _delivered(daemon, receiver, events, lambda number: number < count)


def _delivered(daemon: Addressed, receiver: Receiver, events: Events, go_on: Callable[[int], bool]) -> list[float]:
    """Return when each event's labels arrived, in order; `go_on` says for each event's number whether to post it."""
    numbers = itertools.count()
    arrived: list[float] = []

    def camera(_: int) -> None:
        connection = Connection(daemon.port, rig.PATH)
        while go_on(next(numbers)):
            name = unique()
            status = connection.post(*events.body(name))
            assert status == 200, f"the answer to an event was {status}"
            receiver.wait_for(partial(receiver.arrived.__contains__, name))
            arrived.append(receiver.arrived[name])
        connection.close()

    in_parallel(camera, IN_FLIGHT)
    return sorted(arrived)


def _steady(arrived: list[float]) -> float:
    """Return the rate without the first and last few, when not all parts were busy."""
    edge = min(IN_FLIGHT // 2, (len(arrived) - 1) // 4)
    middle = arrived[edge : len(arrived) - edge]
    return (len(middle) - 1) / (middle[-1] - middle[0])
