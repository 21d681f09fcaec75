"""Send an event of a sample photograph the whole way, for the status page's button.

own POST ─▶ the public listener ─▶ queue ─▶ model ─▶ delivery ─▶ a callback on the loopback, open for this one event
"""

import asyncio
import json

from camiohookd.camio.simulator.events import SimulatedEvent, make_events, read_pictures
from camiohookd.camio.simulator.fake_camio import FakeCamio
from camiohookd.camio.simulator.samples import SAMPLES
from camiohookd.camio.simulator.session import Simulation, SimulationResult
from camiohookd.daemon.setup import Setup
from camiohookd.delivery import AllowList
from camiohookd.errors import CamiohookdError
from camiohookd.web.page.sources import TestResult

PICTURE = "chelsea.jpg"
SECONDS = 60.0
"""How long an answer, and then the labels, may take."""

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not bound


class TestEvents:
    """Sends one event at a time to the public listener, whose port is `port`. Belongs to the event loop."""

    def __init__(self, setup: Setup, port: int, allow_list: AllowList) -> None:
        self._setup = setup
        self._port = port
        self._allow_list = allow_list
        self._sending = asyncio.Lock()

    def use(self, setup: Setup) -> None:
        """Post with a key of `setup` from now on."""
        self._setup = setup

    async def send(self) -> TestResult:
        """Send an event, and return what came of it. Raises CamiohookdError."""
        if self._sending.locked():
            raise CamiohookdError("another test event is on its way; wait for it, then try again")
        async with self._sending:
            camio = FakeCamio(insecure=True)  # the certificate bears the public name of this machine
            try:
                await camio.listen()
            except OSError as error:
                raise CamiohookdError(f"cannot listen on the loopback: {error.strerror or error}") from error
            try:
                self._allow_list.allow_for_a_test(camio.origin, 2 * SECONDS)
                event = await asyncio.to_thread(_event)
                [result] = await Simulation(camio, self._url(), 0, SECONDS).run([event], lambda: None)
            finally:
                self._allow_list.allow_for_a_test(camio.origin, 0)
                await camio.close()
        return _told(result)

    def _url(self) -> str:
        hook = self._setup.config.hook
        host = _ANY_ADDRESS.get(hook.listen.host, hook.listen.host)
        scheme = "https" if hook.tls_cert else "http"
        key = next(iter(self._setup.keys.values()))
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self._port}/tasks/{key}"


def _event() -> SimulatedEvent:
    return next(make_events(read_pictures([SAMPLES / PICTURE]).usable, 1))


def _told(result: SimulationResult) -> TestResult:
    task_id = ""
    if result.accepted_after is not None and result.response is not None:
        task_id = str(json.loads(result.response.body).get("id", ""))
    labels = result.verdict.labels if result.verdict else {}
    return TestResult(task_id, result.accepted_after, result.labeled_after, labels, result.problems)
