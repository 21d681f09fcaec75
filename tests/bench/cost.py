"""Measure processor time for an accept and for a picture, and energy for a thousand events.

Each is compared with a bare program that does the same. Energy is read from the processor's own counters (RAPL) if the
kernel shows them. It is then the whole machine's, posters and receivers included. Elsewhere, processor seconds are
reported instead.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.bench import rig
from tests.bench.accept import events
from tests.bench.camio import Events, Receiver, accepts
from tests.bench.harness import Bench, Result, alternate, result
from tests.bench.label import deliver
from tests.bench.pictures import jpegs

PICTURES = 4  # of an event
RAPL = Path("/sys/class/powercap")
"""Linux' power capping framework: intel-rapl:N is a whole processor, also of AMD; energy_uj counts microjoules."""


def run(bench: Bench) -> Iterator[Result]:
    yield accept(bench)
    yield from label(bench)


def accept(bench: Bench) -> Result:
    """Measure milliseconds of processor time for an accept, posters not counted."""
    seconds, bodies = bench.scaled(2, 0.3), events()

    def contestant(port: int, pid: int) -> Callable[[], float]:
        def spent() -> float:
            before = rig.cpu_seconds(pid)
            rate = accepts(port, rig.PATH, bodies, seconds)
            return 1000 * (rig.cpu_seconds(pid) - before) / (rate * seconds)

        return spent

    with (
        rig.daemon(bench.place("cost-accept"), settings=rig.STALLED_LABELER) as ours,
        rig.serving("bare_handler") as (port, bare),
    ):
        found = alternate({"ours": contestant(ours.port, ours.process.pid), "bare": contestant(port, bare.pid)})
    return result("cost", "processor time for an accept", found["ours"], "ms", baseline=found["bare"])


def label(bench: Bench) -> Iterator[Result]:
    """Measure processor time for a picture, and energy for 1,000 events from the post to the delivery."""
    count, joules = bench.count(40, 4), counters()
    used: list[float] = []
    with (
        Receiver() as receiver,
        rig.daemon(bench.place("cost-label"), receiver.origin) as daemon,
        rig.program("bare_labels", "640", "480", "1", "1") as bare,
    ):
        bodies = Events(receiver.origin, jpegs(640, 480))
        deliver(daemon, receiver, bodies, 4)  # warm

        def ours() -> float:
            before, energy = rig.cpu_seconds(daemon.process.pid), joules()
            deliver(daemon, receiver, bodies, count)
            used.append((joules() - energy) * 1000 / count)
            return 1000 * (rig.cpu_seconds(daemon.process.pid) - before) / (count * PICTURES)

        def alone() -> float:
            rig.ask(bare, "event")  # its start is not counted
            before = rig.cpu_seconds(bare.pid)
            for _ in range(count):
                rig.ask(bare, "event")
            return 1000 * (rig.cpu_seconds(bare.pid) - before) / (count * PICTURES)

        found = alternate({"ours": ours, "bare": alone})
    yield result("cost", "processor time for a picture", found["ours"], "ms", baseline=found["bare"])
    metric = f"1,000 events of {PICTURES} pictures"
    if any(used):
        yield result("energy", f"{metric}, the whole machine", sorted(used)[len(used) // 2], "J")
    else:
        yield result("energy", f"{metric}, in processor time", found["ours"] * PICTURES, "s")


def counters() -> Callable[[], float]:
    """Return a function that reads the joules which all processors have used; it returns 0 where nothing counts."""
    files = [folder / "energy_uj" for folder in RAPL.glob("intel-rapl:[0-9]*") if folder.name.count(":") == 1]

    def joules() -> float:
        total = 0
        for file in files:
            with suppress(OSError):  # only root may read it
                total += int(file.read_text())
        return total / 1e6

    return joules
