"""Load for minutes, with kills, callback outages and bad input. Curves show what must stay flat.

    ./build.sh bench soak --minutes N

Each second it samples memory, open files, threads, bytes on the disk, and the latency of events from POST to labels.
The kills are kill -9, and the daemon is started again at once. An event whose POST got no 200 need not be delivered.
"""

import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import matplotlib

matplotlib.use("svg")  # draws without a screen
from matplotlib import pyplot

from tests.bench import machine, rig
from tests.bench.camio import Connection, Events, Receiver, in_parallel, unique
from tests.bench.harness import Bench, Result, result
from tests.bench.pictures import jpegs
from tests.support.daemon_process import Daemon

SAMPLE_SECONDS = 1.0
DIST = Path("dist")
CHART = DIST / "soak.png"
BAD_BODIES = (b"{}", b"not JSON", b'{"callback_url": "http://127.0.0.1:9/", "images": [1]}', b"\xff" * 1000)


@dataclass(slots=True)
class Sample:
    """A sample at `at` seconds; the latencies ended since the sample before."""

    at: float
    memory: float
    files: int
    threads: int
    disk: float
    latency: float | None


@dataclass(slots=True)
class Soak:
    """A daemon under load, with its samples."""

    daemon: Daemon
    receiver: Receiver
    ends: float
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while the daemon is ended or started
    posted: dict[str, float] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    kills: int = 0
    outages: int = 0
    refusals: int = 0

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.ends


def run(bench: Bench) -> Iterator[Result]:
    seconds = bench.scaled(60 * bench.minutes, 15)
    with Receiver() as receiver, rig.daemon(bench.place("soak"), receiver.origin) as daemon:
        soak = Soak(daemon, receiver, time.monotonic() + seconds)
        parts = (post, post, insult, outages, kills, samples)
        in_parallel(lambda nth: parts[nth](soak), len(parts))
        receiver.status = 200
        receiver.wait_for(lambda: soak.posted.keys() <= receiver.arrived.keys())
    DIST.mkdir(exist_ok=True)
    draw(soak)
    yield result("soak", "events delivered", len(soak.posted), "")
    yield result("soak", "events lost", len(soak.posted.keys() - receiver.arrived.keys()), "")
    yield result("soak", "kills survived", soak.kills, "")
    yield result("soak", "outages of the callback", soak.outages, "")
    yield result("soak", "bad bodies refused", soak.refusals, "")
    for name, read in MEASURES.items():
        yield growth(name, [value for sample in soak.samples if (value := read(sample)) is not None])


def post(soak: Soak) -> None:
    """Post about five events per second, of one to four pictures."""
    noise = random.Random()
    events = [Events(soak.receiver.origin, jpegs(640, 480)[:count]) for count in range(1, 5)]
    while soak.goes_on:
        name = unique()
        started = time.perf_counter()
        with suppress(OSError):  # it was killed
            connection = Connection(soak.daemon.port, rig.PATH)
            if connection.post(*noise.choice(events).body(name)) == 200:
                soak.posted[name] = started
            connection.close()
        time.sleep(noise.uniform(0.2, 0.6))


def insult(soak: Soak) -> None:
    """Post bodies that are not events, with the right key."""
    noise = random.Random()
    while soak.goes_on:
        with suppress(OSError):
            connection = Connection(soak.daemon.port, rig.PATH)
            status = connection.post(noise.choice(BAD_BODIES))
            assert status == 400, f"the answer to a bad body was {status}"
            soak.refusals += 1
            connection.close()
        time.sleep(0.5)


def outages(soak: Soak) -> None:
    """Let the callback answer 503 for some seconds, now and then."""
    noise = random.Random()
    while soak.goes_on:
        time.sleep(noise.uniform(5, 15))
        soak.receiver.status = 503
        soak.outages += 1
        time.sleep(noise.uniform(1, 4))
        soak.receiver.status = 200


def kills(soak: Soak) -> None:
    noise = random.Random()
    while soak.goes_on:
        pause_ends = time.monotonic() + noise.uniform(8, 25)
        while soak.goes_on and time.monotonic() < pause_ends:
            time.sleep(0.2)
        with soak.lock:
            soak.daemon.kill()
            soak.kills += 1
            soak.daemon.start()


def samples(soak: Soak) -> None:
    began, known = time.monotonic(), 0
    while soak.goes_on:
        time.sleep(SAMPLE_SECONDS)
        arrived = list(soak.receiver.arrived.items())
        fresh, known = arrived[known:], len(arrived)
        waits = [at - soak.posted[name] for name, at in fresh if name in soak.posted]
        with soak.lock:
            process = Path(f"/proc/{soak.daemon.process.pid}")
            soak.samples.append(
                Sample(
                    at=time.monotonic() - began,
                    memory=soak.daemon.memory() / 1e6,
                    files=len(list((process / "fd").iterdir())),
                    threads=len(list((process / "task").iterdir())),
                    disk=on_disk(soak.daemon.state) / 1e6,
                    latency=1000 * statistics.median(waits) if waits else None,
                )
            )


def on_disk(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


MEASURES: dict[str, Callable[[Sample], float | None]] = {
    "memory (MB)": lambda sample: sample.memory,
    "open files": lambda sample: sample.files,
    "threads": lambda sample: sample.threads,
    "on the disk (MB)": lambda sample: sample.disk,
    "latency (ms)": lambda sample: sample.latency,
}


def growth(name: str, values: list[float]) -> Result:
    """Return the median of the last quarter over that of the second one; the first quarter is the start."""
    quarter = max(len(values) // 4, 1)
    early, late = statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])
    return result("soak", f"{name}, last quarter against the second", late, "", baseline=early)


def draw(soak: Soak) -> None:
    figure, rows = pyplot.subplots(len(MEASURES), figsize=(7, 8), dpi=80, sharex=True, layout="constrained")
    for axes, (name, read) in zip(rows, MEASURES.items(), strict=True):
        found = [(sample.at, value) for sample in soak.samples if (value := read(sample)) is not None]
        axes.plot([at for at, _ in found], [value for _, value in found])
        axes.set_ylabel(name, fontsize=8)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    rows[-1].set_xlabel("seconds")
    rows[0].set_title(f"{soak.kills} kills, {soak.outages} outages ({machine.sentence()})", fontsize=8)
    figure.savefig(CHART, format="png", metadata={"Software": None})
    pyplot.close(figure)
