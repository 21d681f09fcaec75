"""Three daemons behind HAProxy with the shipped settings: what is lost, repeated and refused as boxes fail or drain."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.bench.pictures import jpegs, padded
from tests.support.certificates import make_certificate
from tests.support.daemon_process import Daemon, event_body
from tests.support.haproxy import EXAMPLE, Balancer, checked, program
from tests.support.threaded_simulator import FakeCamioThread

BOXES = 3
SENDERS = 4
PATIENCE = 120.0
EVENTS, EVENTS_LONG = 100, 1000
REPEATS = 3


@pytest.fixture(scope="module")
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory, camio: FakeCamioThread) -> Iterator[list[Daemon]]:
    program()
    settings = {"CAMIOHOOKD_LABELER_THREADS": "1", "CAMIOHOOKD_HOOK_TRUSTED_PROXIES": '["127.0.0.1"]'}
    daemons = [Daemon(tmp_path_factory.mktemp(f"box{nth}"), camio.origin, settings) for nth in range(BOXES)]
    with ExitStack() as running:
        for daemon in daemons:
            daemon.start(wait=False)
            running.callback(daemon.kill)
        for daemon in daemons:
            daemon.wait_until_ready()
        yield daemons


class Sender:
    """Posts events through the balancer as Camio might: one that is not answered with 200 is posted again."""

    def __init__(self, balancer: Balancer, camio: FakeCamioThread) -> None:
        self._balancer = balancer
        self._camio = camio
        self._pictures = [*jpegs(160, 120)[:1]]
        self.statuses: Counter[str] = Counter()
        """How many answers of each kind came: "queued", "duplicate", the HTTP status of a refusal, or "no answer"."""

    def send(self, names: Sequence[str], *, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Post an event of each name, and call `meanwhile` when half of them are sent."""
        with ThreadPoolExecutor(SENDERS) as pool:
            first = [pool.submit(self._post, name) for name in names[: len(names) // 2]]
            for each in first:
                each.result()
            rest = [pool.submit(self._post, name) for name in names[len(names) // 2 :]]
            meanwhile()
            for each in rest:
                each.result()

    def refusals(self) -> dict[str, int]:
        """Return how often each answer other than 200 came."""
        return {status: times for status, times in self.statuses.items() if status not in ("queued", "duplicate")}

    def _post(self, name: str) -> None:
        body = event_body(self._camio.callback_url(name), pictures=self._pictures)
        ends = time.monotonic() + PATIENCE
        while True:
            assert time.monotonic() < ends, self.statuses
            try:
                answer = self._camio.post(self._balancer.url, body)
            except OSError:
                self.statuses["no answer"] += 1
                continue
            if answer.status == 200:
                self.statuses[json.loads(answer.body)["status"]] += 1
                return
            assert answer.status >= 500, answer
            self.statuses[str(answer.status)] += 1
            time.sleep(0.1)


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def wait_for_all(camio: FakeCamioThread, sent: Sequence[str]) -> None:
    camio.wait_until(lambda arrived: all(arrived.get(name) for name in sent), PATIENCE)


def test_haproxy_accepts_the_example(tmp_path: Path) -> None:
    pair = make_certificate(tmp_path)
    both = tmp_path / "hook.pem"
    both.write_text(pair.cert.read_text() + pair.key.read_text())
    checked(EXAMPLE.read_text().replace("/etc/haproxy/hook.pem", str(both)), tmp_path)


def test_the_example_logs_no_key() -> None:
    [log_format] = [line for line in EXAMPLE.read_text().splitlines() if line.strip().startswith("log-format")]
    assert not {"%r", "%HP", "%HPO", "%HU", "%HQ"} & set(log_format.replace('"', " ").split())
    assert "option httplog" not in EXAMPLE.read_text()


def test_an_event_that_is_repeated_goes_to_the_box_that_has_it(
    boxes: list[Daemon], camio: FakeCamioThread, tmp_path: Path, long_run: bool, print_figure: Callable[[str], None]
) -> None:
    with Balancer(tmp_path, [box.port for box in boxes]) as balancer:
        sender = Sender(balancer, camio)
        events = names("repeated", 30)
        sender.send(events * REPEATS)
        wait_for_all(camio, events)
        assert sender.statuses == {"queued": len(events), "duplicate": (REPEATS - 1) * len(events)}
        assert all(len(camio.deliveries[name]) == 1 for name in events)
        post_large_event_twice(balancer, camio)
        sent_to = balancer.sent_to()
    assert min(sent_to.values()) > 0, sent_to
    if long_run:
        with Balancer(tmp_path, [box.port for box in boxes], balance="roundrobin") as balancer:
            sender = Sender(balancer, camio)
            sender.send(names("by-turns", 30) * REPEATS)
            print_figure(f"30 events, each posted {REPEATS} times, by round robin: {dict(sender.statuses)}")
            assert sender.statuses["queued"] > len(events)


def post_large_event_twice(balancer: Balancer, camio: FakeCamioThread) -> None:
    """Check that an event larger than HAProxy's buffer goes to the same box each time."""
    large = event_body(camio.callback_url("large"), pictures=[*padded(jpegs(160, 120)[:1], 2_000_000)])
    answers = [json.loads(camio.post(balancer.url, large).body) for _ in range(4)]
    assert [answer["status"] for answer in answers] == ["queued", *["duplicate"] * 3]
    assert len({answer["id"] for answer in answers}) == 1


def test_every_event_is_delivered_while_one_box_is_killed_and_one_is_drained(
    boxes: list[Daemon], camio: FakeCamioThread, tmp_path: Path, long_run: bool, print_figure: Callable[[str], None]
) -> None:
    count = EVENTS_LONG if long_run else EVENTS
    for balance in (None, "roundrobin") if long_run else (None,):
        with Balancer(tmp_path, [box.port for box in boxes], balance=balance) as balancer:
            print_figure(lose_boxes(boxes, camio, balancer, balance or "by the body", count))


def lose_boxes(boxes: list[Daemon], camio: FakeCamioThread, balancer: Balancer, balance: str, count: int) -> str:
    """Kill the first box and start it again, then drain the second one, while `count` events are sent.

    Return a sentence that says how many were delivered once and more often, and which answers came.
    """
    killed, drained, _ = boxes
    first, second = (names(f"{balance.replace(' ', '-')}-{part}", count // 2) for part in ("killed", "drained"))

    def kill() -> None:
        killed.kill()
        killed.start(wait=False)

    def drain() -> None:
        done = drained.command("drain", "--grace", "2", "--wait")
        assert done.stdout == "Drained: no event waits in the queue.\n"
        assert drained.pending()["pending"] == 0
        assert camio.post(drained.url, event_body(camio.callback_url("direct"))).status == 503

    started = time.monotonic()
    during_kill, during_drain = Sender(balancer, camio), Sender(balancer, camio)
    during_kill.send(first, meanwhile=kill)
    during_drain.send(second, meanwhile=drain)
    killed.wait_until_ready()
    wait_for_all(camio, [*first, *second])
    seconds = time.monotonic() - started
    drained.command("drain", "--off")
    balancer.wait_until(lambda servers: set(servers.values()) == {"UP"})
    arrived = camio.deliveries
    once = sum(len(arrived[name]) == 1 for name in (*first, *second))
    assert during_drain.refusals() == {}
    return (
        f"{count} events to {len(boxes)} boxes behind HAProxy ({balance}), one killed, one drained: all delivered in "
        f"{seconds:.0f} s, {once} once, {count - once} more often; "
        f"answers other than 200: {during_kill.refusals() or 'none'}"
    )
