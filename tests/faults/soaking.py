"""The load of the soak: senders of several kinds, two callback hosts, kills with garbage, and a disk that fills up.

Every part runs on a thread of its own and does its work once a period, until the time is over.
"""

import gzip
import random
import re
import resource
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count

import requests

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.faults.garbage import GARBAGE
from tests.faults.small_disk import SmallDisk
from tests.support.daemon_process import SAMPLES, Daemon, event_body
from tests.support.threaded_simulator import FakeCamioThread

ANSWER_SECONDS = 5.0
"""How long the slow host takes to answer."""

PICTURE = (SAMPLES / "chelsea.jpg").read_bytes()
TIMEOUT = 30.0
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How long the load lasts, when the daemon is left alive (both in seconds), and how much comes how often.

    `slow`, `storm` and `burst` are events at once.
    """

    seconds: float
    quiet: tuple[float, float]
    kill_every: float
    full_every: float
    full_for: float
    slow: int
    slow_every: float
    storm: int
    storm_every: float
    burst: int
    burst_every: float


class Host:
    """A callback host that notes when the labels of each event arrive first."""

    def __init__(self, camio: FakeCamioThread, delay: float = 0.0) -> None:
        self.camio = camio
        self.arrived: dict[str, float] = {}
        self.deliveries = 0
        self._delay = delay
        self._news = threading.Condition()
        camio.answer_with(self._answer)

    def _answer(self, name: str, _nth: int) -> ScriptedResponse:
        with self._news:
            self.deliveries += 1
            self.arrived.setdefault(name, time.monotonic())
            self._news.notify_all()
        return ScriptedResponse(delay=self._delay)

    def wait_for(self, names: Iterable[str]) -> None:
        """Return when the labels of all have arrived; fail if none arrives for some minutes."""
        missing = set(names)
        with self._news:
            while missing := missing - self.arrived.keys():
                news = self._news.wait(PATIENCE)
                assert news, f"{len(missing)} accepted events are lost, one of them {min(missing)}"


@dataclass(slots=True)
class Soak:
    """A daemon under load. `accepted` is when each event got its 200."""

    daemon: Daemon
    fast: Host
    slow: Host
    calm: Host  # the calm camera's own: at another one, its labels would also wait for older ones
    plan: Plan
    disk: SmallDisk | None
    accepted: dict[str, float] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[float, int]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    kills: int = 0
    fillings: int = 0
    alive: threading.Lock = field(default_factory=threading.Lock)  # held while it is killed and started, or starved
    began: float = field(default_factory=time.monotonic)
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def now(self) -> float:
        return time.monotonic() - self.began

    @property
    def goes_on(self) -> bool:
        return self.now < self.plan.seconds

    def run(self) -> None:
        """Do all at once, for as long as planned."""
        plan = self.plan
        parts: list[Callable[[], None]] = [
            lambda: self._every(0.2, self._one_calm_event),
            lambda: self._every(plan.slow_every, self._slow_events),
            lambda: self._every(plan.storm_every, self._storm),
            lambda: self._every(plan.burst_every, self._bursts),
            lambda: self._every(plan.full_every, self._full_disk, first=plan.full_every / 2),
            lambda: self._every(plan.kill_every, self._kill, first=plan.kill_every),
            lambda: self._every(1.0, self._note_memory),
        ]
        with ThreadPoolExecutor(len(parts)) as pool:
            for part in [pool.submit(part) for part in parts]:
                part.result()

    def _every(self, period: float, work: Callable[[], None], first: float = 0.0) -> None:
        due = first
        while due < self.plan.seconds:
            time.sleep(max(0.0, due - self.now))
            if self.goes_on:
                work()
            due = max(due + period, self.now)

    def _one_calm_event(self) -> None:
        """Send an event of a camera that has no other one waiting, and wait for its labels."""
        name = self._post("calm", self.calm)
        self.calm.wait_for([name])
        self.waits.append(self.calm.arrived[name] - self.accepted[name])

    def _slow_events(self) -> None:
        """Send events of several cameras, so that their host may have more than one delivery at a time."""
        self._crowd([f"slow-{number % 5}" for number in range(self.plan.slow)], self.slow, [PICTURE])

    def _storm(self) -> None:
        """Send many large events of one camera."""
        self._crowd(["storm"] * self.plan.storm, self.fast, [PICTURE] * 4)

    def _crowd(self, cameras: list[str], host: Host, pictures: list[bytes]) -> None:
        with ThreadPoolExecutor(10) as pool:
            for sent in [pool.submit(self._post, camera, host, pictures) for camera in cameras]:
                sent.result()

    def _bursts(self) -> None:
        """Events of several cameras at once: chunked, as gzip, and both."""
        forms: tuple[tuple[Callable[[bytes], bytes | Iterator[bytes]], str], ...] = (
            (_in_pieces, "identity"),
            (gzip.compress, "gzip"),
            (lambda body: _in_pieces(gzip.compress(body)), "gzip"),
        )
        for form, encoding in forms:
            with ThreadPoolExecutor(self.plan.burst) as pool:
                sent = [
                    pool.submit(self._post, f"burst-{number % 5}", self.fast, None, form, encoding)
                    for number in range(self.plan.burst)
                ]
                for each in sent:
                    each.result()

    def _post(
        self,
        camera: str,
        host: Host,
        pictures: list[bytes] | None = None,
        form: Callable[[bytes], bytes | Iterator[bytes]] = bytes,
        encoding: str = "identity",
    ) -> str:
        """Send a new event until it is accepted, as Camio may; return its name."""
        name = f"{camera}-{next(self._numbers)}"
        body = event_body(host.camio.callback_url(name), camera=camera, pictures=pictures or [PICTURE])
        ends = time.monotonic() + PATIENCE
        while not self._accepts(form(body), encoding):
            assert time.monotonic() < ends, f"{name} was not accepted: {self.refusals}; the log:\n{self.daemon.log}"
            time.sleep(0.5)
        self.accepted[name] = time.monotonic()
        return name

    def _accepts(self, body: bytes | Iterator[bytes], encoding: str) -> bool:
        try:
            answer = requests.post(self.daemon.url, body, headers={"Content-Encoding": encoding}, timeout=TIMEOUT)
        except requests.RequestException:
            self.refusals["no answer"] += 1  # it was killed
            return False
        if answer.status_code == 200:
            return True
        assert answer.status_code == 503, answer.text
        self.refusals[answer.json()["error"]["code"]] += 1
        return False

    def _kill(self) -> None:
        """Kill it, put garbage into its files, and start it again."""
        quiet_from, quiet_to = self.plan.quiet
        if quiet_from <= self.now < quiet_to:
            return
        noise = random.Random(self.kills)
        with self.alive:
            self.daemon.kill()
            GARBAGE[self.kills % len(GARBAGE)](self.daemon.state, noise)
            self.kills += 1
            self.daemon.start()

    def _full_disk(self) -> None:
        with self.alive, self._starved():
            ends = time.monotonic() + self.plan.full_for
            while time.monotonic() < ends:
                if self.disk is not None:
                    self.disk.fill(leave=0)  # again, for the daemon may have made room
                time.sleep(0.2)
        self.fillings += 1

    @contextmanager
    def _starved(self) -> Iterator[None]:
        """Let the daemon write nothing: the disk has no room, or where none could be mounted, the kernel refuses."""
        if self.disk is not None:
            self.disk.fill(leave=0)
            try:
                yield
            finally:
                self.disk.empty()
            return
        pid = self.daemon.process.pid
        usual = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, usual[1]))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, usual)

    def _note_memory(self) -> None:
        with suppress(OSError, StopIteration):  # it is being started
            self.memory.append((self.now, self.daemon.memory()))


def _in_pieces(body: bytes) -> Iterator[bytes]:
    """Sent chunked, without a length."""
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@dataclass(slots=True)
class Passed:
    """How many others were served while an event of the calm camera waited, at most, by what it waited for."""

    storm: int = 0
    """Events of the storm labeled between its acceptance and its labels."""
    slow: int = 0
    """Deliveries to the slow host that ended between its labels and their delivery."""


_LINE = re.compile(r"(accepted|labeled|delivered) task=(\d+) camera=(\w+)|camiohookd \S+ starts")


def who_waited_for_whom(log: str) -> Passed:
    """Count in the daemon's log. A count does not depend on how fast the machine is; a restart begins at zero."""
    worst = Passed()
    storm = slow = 0
    accepted: dict[str, int] = {}
    labelled: dict[str, int] = {}
    for found in _LINE.finditer(log):
        what, task, camera = found.groups()
        if what is None:
            storm = slow = 0
            accepted, labelled = dict.fromkeys(accepted, 0), dict.fromkeys(labelled, 0)
        elif camera == "calm":
            if what == "accepted":
                accepted[task] = storm
            elif what == "labeled":
                worst.storm = max(worst.storm, storm - accepted.pop(task, storm))
                labelled[task] = slow
            else:
                worst.slow = max(worst.slow, slow - labelled.pop(task, slow))
        elif what == "labeled" and camera == "storm":
            storm += 1
        elif what == "delivered" and camera == "slow":
            slow += 1
    return worst
