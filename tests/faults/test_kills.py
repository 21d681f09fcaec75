"""Kill the real daemon under load with SIGKILL: no accepted event is lost, and few are delivered twice."""

import json
import random
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from camiohookd.camio.simulator.fake_camio import ReceivedReply
from tests.support.daemon_process import SAMPLES, Daemon, event_body
from tests.support.threaded_simulator import FakeCamioThread

CONCURRENCY = 4
KILLS, KILLS_LONG = 8, 500
SEED = 20170505
SENDERS = 3
PAUSE = 0.15  # seconds between two events of a sender: without a pause it would queue work for hours
PATIENCE = 60.0
BIRTH = 0.3  # seconds after a start: the deliveries of the previous process have arrived, and this one has sent none


class Load:
    """A sender that posts small events while the daemon dies and restarts; it records each answer 200."""

    def __init__(self, camio: FakeCamioThread, url: str) -> None:
        self.accepted: set[str] = set()
        self._camio, self._url = camio, url
        self._pictures = [(SAMPLES / "chelsea.jpg").read_bytes()]
        self._names = (f"event-{number}" for number in count())
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        while not self._end.is_set():
            name = next(self._names)
            body = event_body(self._camio.callback_url(name), camera=name[-1], pictures=self._pictures)
            # Without an answer, the sender posts the same event again, as Camio may.
            while not self._end.is_set() and not self._post(name, body):
                time.sleep(0.05)
            time.sleep(PAUSE)

    def _post(self, name: str, body: bytes) -> bool:
        try:
            answer = self._camio.post(self._url, body, timeout=10)
        except OSError:
            return False
        if answer.status == 200:
            self.accepted.add(name)
        return answer.status == 200


def test_kills_under_load_lose_no_accepted_event_and_repeat_few_deliveries(
    tmp_path: Path, long_run: bool, print_figure: Callable[[str], None]
) -> None:
    kills = KILLS_LONG if long_run else KILLS
    moments = random.Random(SEED)
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        with Load(camio, daemon.url) as load:
            lives = []
            for _ in range(kills):
                time.sleep(moments.uniform(0.0, 0.8))
                daemon.kill()
                lives.append(time.monotonic() + BIRTH)
                daemon.start(wait=moments.random() < 0.9)
            daemon.wait_until_ready()
        _retry_wrongly_failed(daemon)
        deliveries = _wait_for_all(camio, load.accepted)
    repeats = {name: len(each) - 1 for name, each in deliveries.items() if len(each) > 1}
    print_figure(f"kills survived: {kills}; accepted: {len(load.accepted)}; lost: 0; repeats: {sum(repeats.values())}")
    assert len(load.accepted) > kills
    assert sum(repeats.values()) <= kills * CONCURRENCY
    for name in repeats:
        delivered_in = [bisect(lives, each.at) for each in deliveries[name]]
        assert len(set(delivered_in)) == len(delivered_in), f"{name} was delivered twice between two kills"


def _wait_for_all(camio: FakeCamioThread, accepted: set[str]) -> dict[str, list[ReceivedReply]]:
    """Wait until every accepted event is delivered, and return the deliveries. Fail if none arrives for a minute."""
    missing, since = len(accepted), time.monotonic()
    while missing:
        deliveries = camio.deliveries
        left = sum(not deliveries[name] for name in accepted)
        if left < missing:
            missing, since = left, time.monotonic()
        assert time.monotonic() - since < PATIENCE, f"{missing} of {len(accepted)} accepted events are lost"
        time.sleep(0.2)
    return camio.deliveries


def _retry_wrongly_failed(daemon: Daemon) -> None:
    """Retry events that failed as poison: three kills from outside can hit the same event while it is alone in hand."""
    failed = daemon.command("queue", "list", "--state", "failed", "--json").stdout.splitlines()
    assert all(json.loads(line)["cause"] == "poison" for line in failed)
    if failed:
        daemon.command("queue", "retry", "--failed")


@pytest.fixture
def slow_event() -> list[bytes]:
    """Return an event that takes some seconds to label."""
    return [(SAMPLES / "chelsea.jpg").read_bytes()] * 400


def _kill_while_in_hand(daemon: Daemon, task: str) -> None:
    ends = time.monotonic() + PATIENCE
    while f'"id":"{task}"' in (page := json.dumps(daemon.pending(), separators=(",", ":"))):
        if "camiohookd_inference_seconds_count 0.0" not in daemon.admin("/metrics")[1]:
            daemon.kill()
            return
        assert time.monotonic() < ends, page
        time.sleep(0.02)


def test_only_an_event_alone_in_hand_at_three_crashes_fails_as_poison(tmp_path: Path, slow_event: list[bytes]) -> None:
    settings = {"CAMIOHOOKD_LABELER_THREADS": "1"}
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        camio.post(daemon.url, event_body(camio.callback_url("slow"), pictures=slow_event))
        for kill in range(3):
            _kill_while_in_hand(daemon, "1")
            daemon.start()
            if (
                kill == 0
            ):  # earlier, it would be in hand as well: the worker claims more events than it has label threads
                camio.post(daemon.url, event_body(camio.callback_url("bystander")))
        camio.wait_until(lambda arrived: len(arrived["bystander"]) == 1, PATIENCE)
        failed = [json.loads(line) for line in _list(daemon, "failed")]
        assert [(task["id"], task["cause"]) for task in failed] == [("1", "poison")]
        assert "the service died 3 times" in failed[0]["reason"]
        daemon.command("queue", "retry", "1")
        camio.wait_until(lambda arrived: len(arrived["slow"]) == 1, 5 * PATIENCE)


def _list(daemon: Daemon, state: str) -> Iterator[str]:
    return iter(daemon.command("queue", "list", "--state", state, "--json").stdout.splitlines())
