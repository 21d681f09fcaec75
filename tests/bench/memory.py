"""The daemon's memory: idle, at its peak with large pictures, with a long queue, after many events.

What keeps two of them from less, on 28 and 29 November 2026 (smaps, mallinfo2, sys._debugmallocstats, tracemalloc):

- Idle, 116 MB: 44 MB are pages of shared libraries (20 of ONNX Runtime's). Python's objects take 27 MB in 273,000
  blocks, nearly all of them modules; camiohookd's own have 59,000, numpy's 36,000. Without ONNX Runtime, its session
  and its modules, a daemon with own code takes 67 MB. Without the runtime's arena for tensors it takes 6 MB less when
  idle, and 7 more after 60 events.
- Growth over 10,000 events, 2.8 to 3.2 %: a delivered event is remembered for a day, to recognize it if it comes
  again. That takes 240 bytes: a packed document, its id, its digest, and their places in three tables (tracemalloc).
  It ends at 100,000 events (`Bounds`). The process grows by 2 MB up to event 2,000, in Python's and glibc's heaps,
  and by 0.2 to 0.3 kB an event after that. Mapped files do not grow.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench import rig
from tests.bench.camio import Events, Receiver
from tests.bench.harness import Bench, Result, at_most, result
from tests.bench.label import deliver
from tests.bench.pictures import jpegs

MEGA = 1e6
SETTLE_SECONDS = 2.0
TMPFS = Path("/dev/shm")


def run(bench: Bench) -> Iterator[Result]:
    with Receiver() as receiver:
        yield from idle_and_peak(bench, receiver)
        yield long_queue(bench, receiver)
        yield growth(bench, receiver)


def idle_and_peak(bench: Bench, receiver: Receiver) -> Iterator[Result]:
    count = bench.count(100, 4)
    warm = bench.place("memory")
    with rig.daemon(warm, receiver.origin) as daemon:
        daemon.stop()
    with rig.daemon(warm, receiver.origin) as daemon:
        time.sleep(SETTLE_SECONDS)
        yield result("memory", "idle, model loaded", daemon.memory() / MEGA, "MB", target=at_most(150, 90))
        rig.forget_peak(daemon.process.pid)
        deliver(daemon, receiver, Events(receiver.origin, jpegs(3840, 2160)), count)
        peak = rig.peak_memory(daemon.process.pid)
        yield result("memory", f"peak, {count} events of 4K", peak / MEGA, "MB", target=at_most(300, 220))


def long_queue(bench: Bench, receiver: Receiver) -> Result:
    place, waiting = bench.place("memory-queue"), bench.count(100_000, 1_000)
    rig.prefill(place / "state", waiting, jpegs(32, 24)[:1], receiver.origin)
    with rig.daemon(place, receiver.origin) as daemon:
        time.sleep(SETTLE_SECONDS)
        found = daemon.memory()
    return result("memory", f"{waiting:,} waiting", found / MEGA, "MB", target=at_most(400, 180))


def growth(bench: Bench, receiver: Receiver) -> Result:
    first, more = bench.count(500, 20), bench.count(10_000, 100)
    events = Events(receiver.origin, jpegs(160, 120)[:1])
    # Without waiting for the disk this takes a minute or two. The files' content is not in the daemon's memory.
    with (
        TemporaryDirectory(dir=TMPFS if TMPFS.is_dir() else None) as folder,
        rig.daemon(Path(folder), receiver.origin) as daemon,
    ):
        deliver(daemon, receiver, events, first)
        before = daemon.memory()
        deliver(daemon, receiver, events, more)
        after = daemon.memory()
    return result("memory", f"growth over {more:,} events", 100 * (after / before - 1), "%", target=at_most(5, 1))
