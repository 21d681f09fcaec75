"""Bytes written to the disk per event, from accepting it until its labels are delivered."""

from collections.abc import Iterator

from tests.bench import rig
from tests.bench.accept import PICTURE_BYTES
from tests.bench.camio import Events, Receiver
from tests.bench.harness import Bench, Result, at_most, result
from tests.bench.label import deliver, labeled
from tests.bench.latency import timed
from tests.bench.pictures import jpegs, padded


def run(bench: Bench) -> Iterator[Result]:
    with (
        Receiver() as receiver,
        rig.daemon(bench.place("wear"), receiver.origin, {"CAMIOHOOKD_LOG_LEVEL": "error"}) as daemon,
    ):
        events = Events(receiver.origin, padded(jpegs(640, 480), PICTURE_BYTES))
        timed(daemon.port, receiver, events)
        deliver(daemon, receiver, events, bench.count(60, 1))  # uses up what may be written for thumbnails at first
        rig.wait_until_idle(daemon)
        for metric in ("one event at a time", "many at a time"):
            before, count = rig.disk_writes(daemon.process.pid), len(receiver.arrived)
            if metric == "many at a time":
                labeled(daemon, receiver, events, bench.scaled(4, 0.5))
            else:
                for _ in range(bench.count(20, 3)):
                    timed(daemon.port, receiver, events)
            rig.wait_until_idle(daemon)
            written = (rig.disk_writes(daemon.process.pid) - before) / (len(receiver.arrived) - count)
            yield result(
                "wear",
                f"written for an event, {metric}",
                written / 1000,
                "kB",
                baseline=4 * PICTURE_BYTES / 1000,
                target=at_most(1.1, 1.05),
            )
