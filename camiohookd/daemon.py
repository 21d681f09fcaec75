"""The daemon's life, in phases: start (model, queue, sockets), ready, drain, stop. The parts are wired here.

The configuration ends here: the parts are given plain values.
"""

import asyncio
import errno
import gc
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version

from tornado.netutil import bind_sockets

from camiohookd import config as settings
from camiohookd import desk, images, systemd, views
from camiohookd.callback import AllowList, Courier, backoff
from camiohookd.config import Config
from camiohookd.errors import CamiohookdError
from camiohookd.labelers import Labeler
from camiohookd.labelers.opening import open_labeler
from camiohookd.labelling import Labelling
from camiohookd.metrics import Metrics
from camiohookd.payload import Event, parse_event
from camiohookd.room import Bounds
from camiohookd.stopsignal import StopSignal
from camiohookd.storethread import StoreThread
from camiohookd.taskqueue import Receipt, TaskQueue
from camiohookd.tasks import State
from camiohookd.values import Address
from camiohookd.web import control
from camiohookd.web.admin import admin_application
from camiohookd.web.hook import hook_application
from camiohookd.web.site import Limits, Listener, listen
from camiohookd.worker import Worker

DRAIN_SECONDS = 2.0
WORK_SECONDS = 5.0

log = logging.getLogger(__name__)


class Intake:
    """The queue as the public listener sees it."""

    def __init__(self, store: StoreThread) -> None:
        self._store = store

    async def put(self, event: Event) -> Receipt:
        prepared = await asyncio.to_thread(self._store.prepare, event)
        return await self._store.call(lambda queue: queue.put(prepared))

    async def page(self, limit: int, after: str | None) -> views.Page:
        return await self._store.call(lambda queue: views.page(queue, limit, after))


def run(config: Config, keys: dict[str, str], stop: StopSignal) -> int:
    """Serve until `stop`; returns the exit status. Raises CamiohookdError when it cannot start.

    `keys` are those that Camio may use, by the name that the log gives them.
    """
    log.info("camiohookd %s starts", version("camiohookd"))
    metrics = Metrics()
    labeler, threads = open_labeler(
        config.labeler, settings.state_dir(os.environ), lambda degraded: metrics.degraded.set(degraded)
    )
    if stop.came:
        return _stopped_early()
    queue = _open_queue(config, metrics)
    # What a long queue holds would make every full garbage collection stop all threads, half a second at 100,000 tasks.
    gc.collect()
    gc.freeze()
    if stop.came:
        queue.close()
        return _stopped_early()
    _log_what_there_is(config, labeler, threads, queue)
    idle = asyncio.run(_serve(config, keys, stop, labeler, threads, metrics, queue))
    labeler.close()
    log.info("stopped")
    if not idle:
        # A callback that does not answer holds its thread, and Python waits for threads. All that matters is kept.
        logging.shutdown()
        os._exit(0)
    return 0


def _stopped_early() -> int:
    log.info("stopped before it was ready")
    return 0


async def _serve(
    config: Config,
    keys: dict[str, str],
    stop_signal: StopSignal,
    labeler: Labeler,
    threads: int,
    metrics: Metrics,
    queue: TaskQueue,
) -> bool:
    """From the open queue to the closed one; False when threads are left running."""
    stop = stop_signal.event()
    loop = asyncio.get_running_loop()
    store = StoreThread(queue)
    try:
        hook_sockets = _bind(config.hook.listen, "hook.listen")
        admin_sockets = _bind(config.admin.listen, "admin.listen")
        control_socket = _bind_control()
        metrics.watch_queue(lambda: store.snapshot)
        worker = _make_worker(config, labeler, threads, metrics, store)
        store.watch(lambda: _wake(loop, worker))
        hook = _listen_for_events(config, keys, metrics, store, stop, hook_sockets)
        # The model was loaded and warmed up before anything listened.
        checks = {"model": worker.labeler_trouble, "store": lambda: store.trouble, "worker": worker.stalled}
        admin = listen(admin_application(metrics, checks), admin_sockets)
        desk_listener = listen(control.control_application(partial(_perform, store)), [control_socket])
        worker.start()
        _announce_ready(hook_sockets, admin_sockets)
        await stop.wait()
        log.info("stopping: finishing what is in hand, the rest keeps")
        systemd.notify("STOPPING=1")
        await hook.drain(DRAIN_SECONDS)
        idle = await worker.stop(WORK_SECONDS)
        await desk_listener.drain(0)
        control.unbind(settings.runtime_dir(os.environ))
        await admin.drain(0)
        return idle
    finally:
        await loop.run_in_executor(None, store.stop)


def _wake(loop: asyncio.AbstractEventLoop, worker: Worker) -> None:
    """On the store thread."""
    loop.call_soon_threadsafe(worker.wake)


def _open_queue(config: Config, metrics: Metrics) -> TaskQueue:
    queue = config.queue
    return TaskQueue(
        settings.state_dir(os.environ),
        backoff=partial(_backoff, minimum=config.callback.retry_min, maximum=config.callback.retry_max),
        bounds=Bounds(
            max_tasks=queue.max_tasks,
            max_bytes=queue.max_bytes or None,
            min_free_bytes=queue.min_free_bytes,
            max_age=queue.max_age,
            done_keep=queue.done_keep,
            failed_keep=queue.failed_keep,
            max_done=queue.max_done,
            max_failed=queue.max_failed,
        ),
        newest_first=queue.order == "newest",
        on_failed=lambda cause: metrics.tasks_failed.labels(cause.value).inc(),
    )


def _log_what_there_is(config: Config, labeler: Labeler, threads: int, queue: TaskQueue) -> None:
    counts = queue.index.counts
    log.info(
        "queue: %d pending, %d labelled, %d failed; %s, %d threads",
        counts[State.PENDING],
        counts[State.LABELLED],
        counts[State.FAILED],
        f"model {config.labeler.model} on {labeler.device}" if config.labeler.kind == "onnx" else labeler.device,
        threads,
    )


def _backoff(failures: int, *, minimum: float, maximum: float) -> float:
    return backoff(failures - 1, minimum, maximum)


def _make_worker(config: Config, labeler: Labeler, threads: int, metrics: Metrics, store: StoreThread) -> Worker:
    limits = images.Limits(config.images.formats, config.images.max_pixels, config.images.max_bytes)
    timeout = config.callback.timeout
    courier = Courier(version("camiohookd"), connect_timeout=min(timeout, 10.0), read_timeout=timeout, deadline=timeout)
    return Worker(
        store,
        labelling=Labelling(labeler, limits, config.rule, metrics),
        courier=courier,
        allow_list=AllowList(config.callback.allow_hosts),
        metrics=metrics,
        threads=threads,
        deliveries=config.callback.concurrency,
        labeler_deadline=config.labeler.deadline,
    )


def _listen_for_events(
    config: Config,
    keys: dict[str, str],
    metrics: Metrics,
    store: StoreThread,
    stop: asyncio.Event,
    sockets: list[socket.socket],
) -> Listener:
    body_bytes = config.hook.max_body_bytes
    site = hook_application(
        intake=Intake(store),
        keys=keys,
        parse=parse_event,
        check_callback=AllowList(config.callback.allow_hosts).check,
        executor=ThreadPoolExecutor(1, "parse"),
        metrics=metrics,
        limits=Limits(body_bytes=body_bytes, bodies_bytes=8 * body_bytes),
        draining=stop.is_set,
    )
    return listen(site, sockets)


def _bind(address: Address, setting: str) -> list[socket.socket]:
    try:
        return bind_sockets(address.port, address.host, flags=socket.AI_PASSIVE)
    except OSError as error:
        advice = ""
        if error.errno == errno.EADDRINUSE:
            advice = f". Another program uses that port: ss -ltnp 'sport = :{address.port}' shows it"
        raise CamiohookdError(f"cannot listen on {address} ({setting}): {error.strerror}{advice}") from error


def _bind_control() -> socket.socket:
    folder = settings.runtime_dir(os.environ)
    try:
        return control.bind(folder)
    except OSError as error:
        raise CamiohookdError(f"the control socket cannot be made in {folder}: {error.strerror or error}") from error


async def _perform(store: StoreThread, request: desk.Request) -> desk.Answer:
    return await store.call(lambda queue: desk.perform(queue, request))


def _announce_ready(hook: list[socket.socket], admin: list[socket.socket]) -> None:
    names = ["{}:{}".format(*each.getsockname()[:2]) for each in (*hook[:1], *admin[:1])]
    log.info("ready: events on %s, status on %s", *names)
    systemd.notify(f"READY=1\nSTATUS=Taking events on {names[0]}")
