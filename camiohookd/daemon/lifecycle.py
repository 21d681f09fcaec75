"""The daemon's life, in phases: start (model, queue, sockets), ready, drain, stop. The parts are wired here.

The configuration ends here: the parts are given plain values.
"""

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

from camiohookd.config import paths
from camiohookd.config.load import Config
from camiohookd.daemon.heartbeat import Heartbeat, Rate
from camiohookd.daemon.hook_site import HookSite
from camiohookd.daemon.reload import REFUSED, Reloader, Setup, warn
from camiohookd.daemon.restart_backoff import RestartBackoff
from camiohookd.daemon.sockets import Sockets
from camiohookd.delivery import AllowList, Sender, backoff, trusted_certificates
from camiohookd.errors import CamiohookdError
from camiohookd.labelers import Labeler
from camiohookd.labelers.open import open_labeler
from camiohookd.metrics import Metrics
from camiohookd.pictures import decode as images
from camiohookd.queue import commands
from camiohookd.queue.capacity import Bounds
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import State
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.system import logs, systemd
from camiohookd.system.process import give_freed_memory_back, keep_freed_memory
from camiohookd.system.signals import Signals
from camiohookd.web import control
from camiohookd.web.admin import admin_application
from camiohookd.web.server.connections import allow_files
from camiohookd.web.server.listener import listen
from camiohookd.worker.event_labelling import EventLabeler
from camiohookd.worker.worker import Worker

DRAIN_SECONDS = 3.0
WORK_SECONDS = 5.0

log = logging.getLogger("camiohookd.daemon")


def run(setup: Setup, read: Callable[[], Setup], signals: Signals) -> int:
    """Serve until a signal says stop; returns the exit status. Raises CamiohookdError when it cannot start.

    `read` gives what the owner's files say by then, or raises CamiohookdError.
    """
    config, stop = setup.config, signals.stop
    log.info("camiohookd %s starts", version("camiohookd"))
    _warn_root()
    warn(setup)
    keep_freed_memory()
    restarts = RestartBackoff(paths.runtime_dir(os.environ), os.environ)
    restarts.begin(lambda: stop.came)
    allow_files(config.hook.max_connections)
    metrics = Metrics()
    labeler, threads = open_labeler(
        config.labeler, paths.state_dir(os.environ), lambda degraded: metrics.degraded.set(degraded)
    )
    if stop.came:
        return _stopped_early(restarts)
    queue = _open_queue(config, metrics)
    # What a long queue holds would make every full garbage collection stop all threads, half a second at 100,000 tasks.
    gc.collect()
    gc.freeze()
    give_freed_memory_back()
    if stop.came:
        queue.close()
        return _stopped_early(restarts)
    _log_what_there_is(config, labeler, threads, queue)
    idle = asyncio.run(_serve(setup, read, signals, restarts, labeler, threads, metrics, queue))
    labeler.close()
    log.info("stopped")
    if not idle:
        # A callback that does not answer holds its thread, and Python waits for threads. All that matters is kept.
        logging.shutdown()
        os._exit(0)
    return 0


def _warn_root() -> None:
    if os.geteuid() == 0:
        log.warning(
            "this runs as root, which it need not, and leaves files in %s that the service, which is started by "
            "systemctl start camiohookd and runs as the user camiohookd, cannot open",
            paths.state_dir(os.environ),
        )


def _stopped_early(restarts: RestartBackoff) -> int:
    restarts.forget()
    log.info("stopped before it was ready")
    return 0


async def _serve(
    setup: Setup,
    read: Callable[[], Setup],
    signals: Signals,
    restarts: RestartBackoff,
    labeler: Labeler,
    threads: int,
    metrics: Metrics,
    queue: TaskQueue,
) -> bool:
    """From the open queue to the closed one; False when threads are left running."""
    config = setup.config
    stop = signals.stop.event()
    loop = asyncio.get_running_loop()
    store = StoreThread(queue)
    try:
        sockets = Sockets(os.environ)
        hook_sockets = sockets.listen("hook", config.hook.listen, "hook.listen")
        admin_sockets = sockets.listen("admin", config.admin.listen, "admin.listen")
        sockets.let_go()
        control_socket = _bind_control()
        metrics.watch_queue(lambda: store.snapshot)
        labelling = _make_labelling(config, labeler, metrics)
        allow_list = AllowList(config.callback.allow_hosts)
        worker = _make_worker(config, labelling, allow_list, threads, metrics, store)
        store.watch(lambda: worker.queue_changed(queue))
        hook = HookSite(setup, store, allow_list, metrics, hook_sockets)
        # The model was loaded and warmed up before anything listened.
        checks = {"model": worker.labeler_trouble, "store": lambda: store.trouble, "worker": worker.stalled}
        admin = listen(admin_application(metrics, checks), admin_sockets)
        desk_listener = listen(control.control_application(partial(_perform, store)), [control_socket])
        worker.start()
        reloader = Reloader(setup, read, partial(_use, hook, labelling, allow_list))
        heartbeat = Heartbeat(partial(_status, labeler, metrics, store, reloader, Rate()), worker.stalled)
        _announce_ready(hook_sockets, admin_sockets)
        background = [
            asyncio.create_task(reloader.run(signals.reload.event())),
            asyncio.create_task(heartbeat.run()),
            asyncio.create_task(restarts.forget_when_lasting()),
        ]
        await stop.wait()
        restarts.forget()
        for each in background:
            each.cancel()
        log.info("stopping: finishing what is in hand, the rest keeps")
        systemd.notify("STOPPING=1")
        await hook.drain(DRAIN_SECONDS)
        idle = await worker.stop(WORK_SECONDS)
        await desk_listener.drain(0)
        control.unbind(paths.runtime_dir(os.environ))
        await admin.drain(0)
        return idle
    finally:
        await loop.run_in_executor(None, store.stop)


def _open_queue(config: Config, metrics: Metrics) -> TaskQueue:
    queue = config.queue
    return TaskQueue(
        paths.state_dir(os.environ),
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


def _use(hook: HookSite, labelling: EventLabeler, allow_list: AllowList, setup: Setup) -> None:
    """What of `setup` needs no restart."""
    logs.change_logging(setup.config.log.level, setup.keys.values())
    hook.use(setup)
    labelling.use_rules(setup.config.rule)
    allow_list.replace(setup.config.callback.allow_hosts)


def _make_labelling(config: Config, labeler: Labeler, metrics: Metrics) -> EventLabeler:
    limits = images.PictureLimits(config.images.formats, config.images.max_pixels, config.images.max_bytes)
    return EventLabeler(labeler, limits, config.rule, metrics)


def _make_worker(
    config: Config, labelling: EventLabeler, allow_list: AllowList, threads: int, metrics: Metrics, store: StoreThread
) -> Worker:
    callback = config.callback
    courier = Sender(
        version("camiohookd"),
        connect_timeout=callback.connect_timeout,
        read_timeout=callback.read_timeout,
        deadline=callback.timeout,
        certificates=trusted_certificates(callback.ca),
    )
    return Worker(
        store,
        labelling=labelling,
        courier=courier,
        allow_list=allow_list,
        metrics=metrics,
        threads=threads,
        deliveries=callback.concurrency,
        labeler_deadline=config.labeler.deadline,
    )


def _bind_control() -> socket.socket:
    folder = paths.runtime_dir(os.environ)
    try:
        return control.bind(folder)
    except OSError as error:
        raise CamiohookdError(f"the control socket cannot be made in {folder}: {error.strerror or error}") from error


def _status(labeler: Labeler, metrics: Metrics, store: StoreThread, reloader: Reloader, rate: Rate) -> str:
    """One line for `systemctl status`: what waits, how much gets done, on what."""
    tasks = store.snapshot.tasks
    waiting = tasks[State.PENDING] + tasks[State.LABELLED]
    line = f"{waiting} waiting, {rate.per_minute(metrics.labelled_so_far()):.0f}/min, {labeler.device}"
    return f"{line}. {REFUSED}" if reloader.failed else line


async def _perform(store: StoreThread, request: commands.Command) -> commands.CommandResult:
    return await store.call(lambda queue: commands.perform(queue, request))


def _announce_ready(hook: list[socket.socket], admin: list[socket.socket]) -> None:
    names = ["{}:{}".format(*each.getsockname()[:2]) for each in (*hook[:1], *admin[:1])]
    log.info("ready: events on %s, status on %s", *names)
    systemd.notify("READY=1")
