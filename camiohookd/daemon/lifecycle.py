"""The daemon's life: load the labeler and open the queue, listen, work, drain, stop. `opening` and `wiring` make
the parts.
"""

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from importlib.metadata import version

from camiohookd.config import paths
from camiohookd.config.load import Config
from camiohookd.daemon import opening, wiring
from camiohookd.daemon.heartbeat import Heartbeat, Rate
from camiohookd.daemon.reload import REFUSED, Reloader
from camiohookd.daemon.restart_backoff import RestartBackoff
from camiohookd.daemon.setup import PLAIN_HTTP, Setup, is_open_and_plain, warn
from camiohookd.labelers import Labeler
from camiohookd.labelers.chain.chain import Chain
from camiohookd.labelers.open import name_of
from camiohookd.monitoring.activity import Activity
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system import systemd
from camiohookd.system.log_fields import about
from camiohookd.system.process import give_freed_memory_back, keep_freed_memory
from camiohookd.system.recent_errors import watch_log
from camiohookd.system.signals import Signals
from camiohookd.units import plural
from camiohookd.web.server.connections import allow_files

DRAIN_SECONDS = 3.0
WORK_SECONDS = 5.0

log = logging.getLogger("camiohookd.daemon")


def run(setup: Setup, read: Callable[[], Setup], signals: Signals) -> int:
    """Serve until a signal says stop; return the exit status. Raises CamiohookdError when it cannot start.

    `read` reads the owner's files again for a reload, or raises CamiohookdError.
    """
    log.info("camiohookd %s starts", version("camiohookd"), extra=about("starting"))
    _warn_root()
    warn(setup)
    keep_freed_memory()
    restart_backoff = RestartBackoff(paths.runtime_dir(os.environ), os.environ)
    restart_backoff.begin(lambda: signals.stop.came)
    daemon = Daemon(setup, read, signals, restart_backoff)
    return daemon.run()


class Daemon:
    """One run of the service, from loading the labeler to the end."""

    def __init__(
        self, setup: Setup, read: Callable[[], Setup], signals: Signals, restart_backoff: RestartBackoff
    ) -> None:
        self._setup = setup
        self._read = read
        self._signals = signals
        self._restart_backoff = restart_backoff
        self._metrics = Metrics()
        self._activity = Activity()
        self._errors = watch_log(setup.keys.values())

    def run(self) -> int:
        """Load, serve and stop; return the exit status."""
        config, stop = self._setup.config, self._signals.stop
        allow_files(config.hook.max_connections)
        labeler, threads = opening.load_labeler(config, self._metrics)
        if stop.came:
            return self._stopped_early()
        give_freed_memory_back()  # loading a model left some MB, and opening the queue takes the most memory
        queue = opening.open_queue(config, self._metrics, self._activity)
        # Otherwise every full garbage collection walks all objects again and stops all threads: 40 ms (tricks.md).
        gc.collect()
        gc.freeze()
        gc.enable()
        give_freed_memory_back()
        if stop.came:
            queue.close()
            return self._stopped_early()
        _log_what_there_is(config, labeler, threads, queue)
        idle = asyncio.run(self._serve(labeler, threads, queue))
        labeler.close()
        log.info("stopped", extra=about("stopped"))
        if not idle:
            # A callback that does not answer holds its thread, and Python would wait for it. The queue is closed.
            logging.shutdown()
            os._exit(0)
        return 0

    def _stopped_early(self) -> int:
        self._restart_backoff.forget()
        log.info("stopped before it was ready", extra=about("stopped"))
        return 0

    async def _serve(self, labeler: Chain, threads: int, queue: TaskQueue) -> bool:
        """Serve from the open queue to the closed one; return False when threads are still running."""
        stop = self._signals.stop.event()
        self._activity.attach()
        store = StoreThread(queue)
        try:
            loaded = wiring.Loaded(labeler, threads, self._metrics, self._activity, store, self._errors)
            service = wiring.connect(self._setup, loaded)
            store.watch(lambda: service.worker.queue_changed(queue))
            service.history.start(self._activity)
            service.notifications.start(self._activity)
            service.mqtt.start(self._activity)
            service.worker.start()
            background = self._start_background(service, labeler)
            log.info("ready: events on %s, status on %s", *service.addresses, extra=about("ready"))
            systemd.notify("READY=1")
            await stop.wait()
            self._restart_backoff.forget()
            for each in background:
                each.cancel()
            return await _stop(service)
        finally:
            await asyncio.get_running_loop().run_in_executor(None, store.stop)

    def _start_background(self, service: wiring.Service, labeler: Labeler) -> list[asyncio.Task[None]]:
        rate = Rate()

        def status() -> str:
            line = _status(labeler, self._metrics, service.store, reloader, rate)
            return f"{line}. {PLAIN_HTTP}" if is_open_and_plain(reloader.setup) else line

        heartbeat = Heartbeat(status, service.worker.stalled, service.not_ready)
        reloader = Reloader(self._setup, self._read, service.use, heartbeat.beat)
        service.reporter.reload_failed = lambda: reloader.failed
        heartbeat.beat()  # before READY=1: the package's postinst reads the status when systemctl returns
        return [
            asyncio.create_task(reloader.run(self._signals.reload.event())),
            asyncio.create_task(heartbeat.run()),
            asyncio.create_task(service.troubles.watch()),
            asyncio.create_task(self._restart_backoff.forget_when_lasting()),
        ]


async def _stop(service: wiring.Service) -> bool:
    """Finish what is in hand; return False when threads are still running. What remains is in the queue."""
    log.info("stopping: finishing what is in hand; the rest stays in the queue", extra=about("stopping"))
    systemd.notify("STOPPING=1")
    await service.notifications.stop()
    await service.drain(DRAIN_SECONDS)
    idle = await service.worker.stop(WORK_SECONDS)
    await service.mqtt.stop()
    await service.close_listeners()
    await service.history.close()
    return idle


def _warn_root() -> None:
    if os.geteuid() == 0:
        log.warning(
            "running as root, which is not necessary: files that it leaves in %s cannot be opened by the service, "
            "which runs as the user camiohookd (systemctl start camiohookd)",
            paths.state_dir(os.environ),
            extra=about("running_as_root"),
        )


def _log_what_there_is(config: Config, labeler: Chain, threads: int, queue: TaskQueue) -> None:
    counts = queue.tasks.counts
    log.info(
        "queue: %d pending, %d labeled, %d failed; %s, %s",
        counts[State.PENDING],
        counts[State.LABELLED],
        counts[State.FAILED],
        _labelers(config, labeler),
        plural(threads, "thread"),
        extra=about("queue_opened"),
    )


def _labelers(config: Config, chain: Chain) -> str:
    """Return in words what labels, and on what."""
    each = [
        f"model {name_of(settings)} on {link.labeler.device}"
        if settings.kind in ("onnx", "remote")
        else link.labeler.device
        for settings, link in zip(config.labelers, chain.links, strict=True)
        if link.labeler is not None
    ]
    return ", ".join(each)


def _status(labeler: Labeler, metrics: Metrics, store: StoreThread, reloader: Reloader, rate: Rate) -> str:
    """Return one line for `systemctl status`: what waits, how much gets done, on which device."""
    tasks = store.snapshot.tasks
    waiting = tasks[State.PENDING] + tasks[State.LABELLED]
    device = f"{labeler.device} (degraded, see the log)" if metrics.is_degraded() else labeler.device
    line = f"{waiting} waiting, {rate.per_minute(metrics.labelled_so_far()):.0f}/min, {device}"
    return f"{line}. {REFUSED}" if reloader.failed else line
