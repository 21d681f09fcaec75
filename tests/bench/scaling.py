"""Draw curves into ``dist/``: cameras, pictures, sizes, threads, the backlog, an inference server, boxes in a fleet.

Each point is a daemon of its own. Everything that is not varied is as in `label`.
"""

import io
import json
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("svg")  # draws without a screen
from matplotlib import pyplot

from tests.bench import fleet, latency, machine, rig
from tests.bench.accept import events
from tests.bench.camio import Events, Receiver, accepts
from tests.bench.fleet_model import Boxes, Load, boxes_for
from tests.bench.harness import Bench, Result, number, result
from tests.bench.label import labeled
from tests.bench.pictures import jpegs
from tests.bench.remote import server_by_hand

SIZES = ((320, 240), (640, 480), (1280, 720), (1920, 1080), (3840, 2160))
DIST = Path("dist")
LABELED = re.compile(r"labeled task=.* ms=(\d+)")
ONE_THREAD = {"CAMIOHOOKD_LABELER_THREADS": "1"}
PER_MINUTE, PICTURES, WITHIN = 2.0, 4, 10.0
"""What the simulated cameras send: events a minute and their pictures; 95 % are to be labeled within those seconds."""


Points = dict[float, float]


def run(bench: Bench) -> Iterator[Result]:
    DIST.mkdir(exist_ok=True)
    for name, (title, x, y, unit, sweep) in SWEEPS.items():
        if not (points := sweep(bench)):
            continue
        draw(DIST / f"scaling-{name}.png", title, x, y, points)
        for at, value in points.items():
            yield result("scaling", f"{y}, {x}: {number(at)}", value, unit)
    yield from fleet.run(bench)


def cameras(bench: Bench) -> Points:
    """Accepts per second with that many connections, each posting one event after another; nothing is labeled."""
    points: Points = {}
    with rig.daemon(bench.place("cameras"), settings=rig.STALLED_LABELER) as daemon:
        for count in (1, 4, 16, 64):
            points[count] = accepts(daemon.port, rig.PATH, events(), bench.scaled(4, 0.3), connections=count)
    return points


def pictures(bench: Bench) -> Points:
    return {count: pictures_a_second(bench, jpegs(640, 480), count) for count in (1, 2, 4, 8, 16, 32)}


def sizes(bench: Bench) -> Points:
    return {width * height / 1e6: pictures_a_second(bench, jpegs(width, height), 4) for width, height in SIZES}


def threads(bench: Bench) -> Points:
    counts = range(1, rig.cores() + 1)
    settings = {count: {"CAMIOHOOKD_LABELER_THREADS": str(count)} for count in counts}
    return {count: pictures_a_second(bench, jpegs(640, 480), 4, settings[count]) for count in counts}


def backlog(bench: Bench) -> Points:
    """Accepts per second with that many events waiting; nothing is labeled."""
    points: Points = {}
    for waiting in (10, 100, 1_000, 10_000, bench.count(100_000, 20_000)):
        place = bench.place(f"backlog-{waiting}")
        rig.prefill(place / "state", waiting, jpegs(32, 24)[:1])
        with rig.daemon(place, settings=rig.STALLED_LABELER) as daemon:
            points[waiting] = accepts(daemon.port, rig.PATH, events(), bench.scaled(4, 0.3))
    return points


def remote(bench: Bench) -> Points:
    """Pictures per second of a box that has them labeled by a server on the same machine; to compare with `threads`."""
    points: Points = {}
    for count in (1, 2, 4, 8):
        with server_by_hand("binary") as url:
            settings = {
                "CAMIOHOOKD_LABELER_KIND": "remote",
                "CAMIOHOOKD_LABELER_REMOTE_ENDPOINTS": json.dumps([url]),
                "CAMIOHOOKD_LABELER_REMOTE_CONCURRENCY": str(count),
                "CAMIOHOOKD_LABELER_THREADS": str(count),
            }
            points[count] = pictures_a_second(bench, jpegs(640, 480), 4, settings)
    return points


def boxes(bench: Bench) -> Points:
    """Events per second of boxes that take a fixed time for each; their processors are not the limit."""
    return {count: fleet.events_a_second(bench, count) for count in fleet.COUNTS} if fleet.can_run() else {}


def boxes_for_cameras(bench: Bench) -> Points:
    """Simulated: the boxes like this machine, with one label thread, that keep up with that many cameras."""
    with Receiver() as receiver, rig.daemon(bench.place("service"), receiver.origin, ONE_THREAD) as daemon:
        events = Events(receiver.origin, jpegs(640, 480)[:1])
        latency.timed(daemon.port, receiver, events)  # warm
        alone = [latency.timed(daemon.port, receiver, events) for _ in range(bench.count(200, 5))]
        one = one_box(alone, labeling_seconds(daemon.log))
    loads = [Load(cameras, PER_MINUTE, PICTURES) for cameras in (10, 100, 1_000, 10_000)]
    return {load.cameras: boxes_for(load, one, within=WITHIN, events=bench.count(20_000, 500)) for load in loads}


def labeling_seconds(log: str) -> list[float]:
    """Return how long each event was labeled, from a daemon's log."""
    return [int(milliseconds) / 1000 for milliseconds in LABELED.findall(log)]


def one_box(alone: Sequence[float], labeling: Sequence[float]) -> Boxes:
    """Return a box with one thread that takes as long as events of one picture, sent one at a time, did.

    `alone` are the seconds that they took as a whole, `labeling` those in which they were labeled.
    """
    return Boxes(1, 1, labeling, max(0.0, statistics.fmean(alone) - statistics.fmean(labeling)))


def pictures_a_second(
    bench: Bench, bundled: Sequence[bytes], count: int, settings: dict[str, str] | None = None
) -> float:
    """Return pictures per second, labeled and delivered, in events of `count` pictures."""
    several = [bundled[number % len(bundled)] for number in range(count)]
    with Receiver() as receiver:
        place = bench.folder / f"label-{len(list(bench.folder.iterdir()))}"
        with rig.daemon(place, receiver.origin, settings) as daemon:
            bodies = Events(receiver.origin, several)
            labeled(daemon, receiver, bodies, bench.scaled(1, 0.3))  # warm
            return count * labeled(daemon, receiver, bodies, bench.scaled(5, 0.5))


Sweep = tuple[str, str, str, str, Callable[[Bench], Points]]
SWEEPS: dict[str, Sweep] = {
    "cameras": ("Accepting", "cameras that post at once", "durable accepts a second", "/s", cameras),
    "pictures": ("Labeling", "pictures of an event", "pictures labeled a second", "/s", pictures),
    "sizes": ("Labeling", "million pixels of a picture", "pictures labeled a second", "/s", sizes),
    "threads": ("Labeling", "label threads", "pictures labeled a second", "/s", threads),
    "backlog": ("Accepting", "events that wait already", "durable accepts a second", "/s", backlog),
    "remote": ("Labeling by a server", "requests at one time", "pictures labeled a second", "/s", remote),
    "boxes": ("Labeling", "boxes behind HAProxy", "events labeled a second", "/s", boxes),
    "cameras-simulated": (
        f"{PER_MINUTE:g} events a minute of {PICTURES} pictures",
        "cameras, simulated",
        "boxes like this one, one thread",
        "",
        boxes_for_cameras,
    ),
}
"""By the file's name: title, axes, unit, and what measures the points."""


def draw(path: Path, title: str, x: str, y: str, points: Points) -> None:
    """Draw a curve, small enough for a page of text."""
    figure, axes = pyplot.subplots(figsize=(5, 3), dpi=80, layout="constrained")
    axes.plot(list(points), list(points.values()), marker="o")
    if max(points) > 8:
        axes.set_xscale("log")
        axes.set_xticks(list(points), [number(at) for at in points])
        axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(f"{title} ({machine.sentence()})", fontsize=8)
    axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", metadata={"Software": None})
    path.write_bytes(picture.getvalue())
    pyplot.close(figure)
