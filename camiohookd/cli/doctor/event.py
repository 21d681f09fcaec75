"""Send one simulated event through the service, end to end, and check the labels that come back.

the running daemon, or a temporary one with the same settings and a queue of its own
FakeCamio on the loopback ─▶ POST /tasks/KEY ─▶ queue ─▶ model ─▶ rules ─▶ POST to the loopback ─▶ the contract
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from camiohookd.camio.simulator.events import make_events, read_pictures
from camiohookd.camio.simulator.fake_camio import FakeCamio
from camiohookd.camio.simulator.session import Simulation, SimulationResult
from camiohookd.cli.doctor.findings import Finding, Group
from camiohookd.cli.doctor.listeners import local_url
from camiohookd.cli.doctor.running import RunningDaemon
from camiohookd.cli.doctor.temporary_daemon import temporary_daemon
from camiohookd.daemon.setup import Setup
from camiohookd.errors import CamiohookdError
from camiohookd.units import plural

_GROUP = Group("end to end")
_NAME = "one event"
SECONDS = 60.0


def check_event(found: Setup, path: Path | None, daemon: RunningDaemon | None, environ: Mapping[str, str]) -> Finding:
    """Send an event with the bundled photographs. `path` is the settings file, None for the usual one."""
    if daemon is not None and found.config.hook.listen.port == 0:
        return _GROUP.not_checked(_NAME, "hook.listen has port 0, so its port is not known")
    try:
        result = asyncio.run(_send(found, path, daemon, environ))
    except CamiohookdError as error:
        return _GROUP.failed(_NAME, str(error))
    return _judge(result, daemon)


async def _send(
    found: Setup, path: Path | None, daemon: RunningDaemon | None, environ: Mapping[str, str]
) -> SimulationResult:
    camio = FakeCamio(insecure=True)  # the certificate is for the public name of this box
    await camio.listen()
    try:
        with _serving(found, path, daemon, environ, camio.origin) as url:
            key = next(iter(found.keys.values()))
            event = make_events(read_pictures([]).usable, 1)
            [result] = await Simulation(camio, f"{url}/tasks/{key}", 0.0, SECONDS).run(event, lambda: None)
            return result
    finally:
        await camio.close()


def _serving(
    found: Setup, path: Path | None, daemon: RunningDaemon | None, environ: Mapping[str, str], callback: str
) -> AbstractContextManager[str]:
    """Return a context with the address of a daemon that may send labels to `callback`."""
    if daemon is None:
        return temporary_daemon(path, environ, callback, is_tls=found.certificate is not None)
    daemon.allow_test_callback(callback)
    return nullcontext(local_url(found.config))


def _judge(result: SimulationResult, daemon: RunningDaemon | None) -> Finding:
    of_what = "" if daemon else ", through a temporary service with the same settings"
    if result.valid and result.verdict is not None and result.labeled_after is not None:
        labels = ", ".join(sorted(result.verdict.labels)[:5]) or "no labels (a rule may have dropped them)"
        return _GROUP.ok(_NAME, f"its labels came back after {result.labeled_after:.1f} s{of_what}: {labels}")
    waiting = 0
    if daemon is not None and daemon.report.queue is not None:
        tasks = daemon.report.queue.tasks
        waiting = tasks.get("pending", 0)
    if result.accepted_after is not None and result.verdict is None and waiting:
        return _GROUP.warning(
            _NAME,
            f"it was accepted, but no labels came within {SECONDS:g} s: {plural(waiting, 'event')} came before it",
            "watch the progress: sudo camiohookd status --watch",
        )
    if result.response is not None and result.response.status == 403:
        return _GROUP.failed(
            _NAME,
            "the running service does not know the key: it changed after the service read the settings",
            "sudo systemctl reload camiohookd",
        )
    return _GROUP.failed(_NAME, "; ".join(result.problems), "see the log: journalctl -u camiohookd -n 50")
