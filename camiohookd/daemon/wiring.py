"""Make the parts of the service from the settings, and connect them.

The configuration ends here: the parts get plain values. `lifecycle` says when each part starts and stops.
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from camiohookd.config import paths
from camiohookd.config.load import Config
from camiohookd.config.picture_limits import picture_limits
from camiohookd.daemon.admin_site import AdminSite, access_of
from camiohookd.daemon.history_parts import make_history
from camiohookd.daemon.hook_site import HookSite
from camiohookd.daemon.mqtt_parts import Mqtt
from camiohookd.daemon.notify_parts import Notifications
from camiohookd.daemon.owner_commands import OwnerCommands, perform
from camiohookd.daemon.recent import Recent
from camiohookd.daemon.setup import Setup
from camiohookd.daemon.sockets import Sockets
from camiohookd.daemon.status_report import Reporter
from camiohookd.daemon.test_event import TestEvents
from camiohookd.daemon.troubles import Troubles
from camiohookd.daemon.worker_parts import looking_of, make_worker
from camiohookd.delivery import AllowList
from camiohookd.errors import CamiohookdError
from camiohookd.labelers.chain.chain import Chain
from camiohookd.monitoring.activity import Activity
from camiohookd.monitoring.history.history import History
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import State
from camiohookd.system import logs
from camiohookd.system.permissions import reason
from camiohookd.system.recent_errors import RecentErrors
from camiohookd.web import control
from camiohookd.web.admin import Check, failing
from camiohookd.web.draining import CHECK, Draining
from camiohookd.web.page.doctor_process import DoctorProcess
from camiohookd.web.page.site import pages
from camiohookd.web.page.sources import Sources
from camiohookd.web.page.teach_process import TeachProcess
from camiohookd.web.server.listener import Listener, listen
from camiohookd.worker.event_labeler import EventLabeler
from camiohookd.worker.worker import Worker


@dataclass(frozen=True, slots=True)
class Service:
    """The parts that serve, on the event loop.

    `readiness` are the checks of ``/readyz``; `addresses` are those of the hook and of the admin listener; `sources` is
    what the status page shows and does.
    """

    store: StoreThread
    worker: Worker
    hook: HookSite
    admin: AdminSite
    control: Listener
    event_labeler: EventLabeler
    allow_list: AllowList
    history: History
    troubles: Troubles
    notifications: Notifications
    mqtt: Mqtt
    reporter: Reporter
    test_events: TestEvents
    sources: Sources
    readiness: Mapping[str, Check]
    addresses: tuple[str, str]

    def not_ready(self) -> str | None:
        """Return why an event posted now would not get through; None if it would."""
        return "; ".join(failing(self.readiness).values()) or None

    def use(self, setup: Setup) -> None:
        """Take from `setup` what can change without a restart."""
        logs.change_logging(setup.config.log.level, setup.keys.values())
        self.hook.use(setup)
        self.admin.use(setup)
        self.event_labeler.use(setup.config.rule, looking_of(setup.config))
        self.allow_list.replace(setup.config.callback.allow_hosts)
        self.troubles.use(setup)
        self.test_events.use(setup)

    async def drain(self, seconds: float) -> None:
        """Accept no more events, and answer those that are arriving for up to `seconds`."""
        await self.hook.drain(seconds)

    async def close_listeners(self) -> None:
        """Stop answering the owner, too."""
        await self.control.drain(0)
        control.unbind(paths.runtime_dir(os.environ))
        await self.sources.doctor.stop()
        await self.sources.teaching.stop()
        await self.admin.close()


class Loaded(NamedTuple):
    """The parts made before the event loop runs: the labeler, for `threads` threads, and the open queue's `store`."""

    labeler: Chain
    threads: int
    metrics: Metrics
    activity: Activity
    store: StoreThread
    errors: RecentErrors


def connect(setup: Setup, loaded: Loaded) -> Service:
    """Make the worker and the listeners, on the event loop, and let the listeners accept; the caller starts the rest.

    Raises CamiohookdError where an address cannot be listened on.
    """
    config = setup.config
    labeler, threads, metrics, activity, store, _ = loaded
    hook_sockets, admin_sockets, control_socket = _open_sockets(config)
    metrics.watch_queue(lambda: store.snapshot)
    limits = picture_limits(config.images)
    event_labeler = EventLabeler(labeler, limits, config.rule, metrics, looking_of(config))
    allow_list = AllowList(config.callback.allow_hosts)
    worker = make_worker(config, event_labeler, allow_list, threads, metrics, activity, store)
    draining = Draining(metrics.draining)
    readiness = _readiness(worker, store, allow_list, draining)
    history = make_history(config, store, labeler, metrics, limits, event_labeler.budget)
    troubles = Troubles(setup, metrics, store, history)
    activity.subscribe(troubles.hear)
    reporter = _make_reporter(setup, loaded, history, readiness, troubles)
    hook = HookSite(setup, store, allow_list, metrics, activity, hook_sockets, draining)
    tests = TestEvents(setup, hook_sockets[0].getsockname()[1], allow_list)
    owner = OwnerCommands(store, activity, reporter, hook.nonces, allow_list, draining)
    sources = _sources(setup, loaded, event_labeler, reporter, tests, history)
    return Service(
        store=store,
        worker=worker,
        hook=hook,
        admin=_admin_site(setup, metrics, readiness, admin_sockets, sources),
        test_events=tests,
        sources=sources,
        control=listen(control.control_application(owner.answer), [control_socket]),
        event_labeler=event_labeler,
        allow_list=allow_list,
        history=history,
        troubles=troubles,
        notifications=Notifications(setup, troubles.now),
        mqtt=Mqtt(setup, reporter.report),
        reporter=reporter,
        readiness=readiness,
        addresses=(_address(hook_sockets), _address(admin_sockets)),
    )


def _sources(
    setup: Setup,
    loaded: Loaded,
    event_labeler: EventLabeler,
    reporter: Reporter,
    tests: TestEvents,
    history: History,
) -> Sources:
    return Sources(
        report=reporter.report,
        is_busy=lambda: loaded.store.snapshot.tasks[State.PENDING] > 0,
        perform=partial(perform, loaded.store, loaded.activity),
        send_test_event=tests.send,
        doctor=DoctorProcess(setup.path),
        teaching=TeachProcess(setup.path),
        history=history,
        rules=lambda: event_labeler.table,
        default_probability=loaded.labeler.common_threshold,
    )


def _make_reporter(
    setup: Setup, loaded: Loaded, history: History, readiness: Mapping[str, Check], troubles: Troubles
) -> Reporter:
    recent = Recent()
    loaded.activity.subscribe(recent.notice)
    return Reporter(
        setup,
        loaded.labeler,
        loaded.metrics,
        lambda: loaded.store.snapshot,
        lambda: history.written,
        lambda: failing(readiness),
        troubles.now,
        recent,
        loaded.errors,
    )


def _admin_site(
    setup: Setup,
    metrics: Metrics,
    readiness: Mapping[str, Check],
    sockets: list[socket.socket],
    sources: Sources,
) -> AdminSite:
    access = access_of(setup)
    return AdminSite(setup, metrics, readiness, sockets, access, pages(access, sources))


def _open_sockets(config: Config) -> tuple[list[socket.socket], list[socket.socket], socket.socket]:
    """Return the sockets of the public, the private and the control listener. Raises CamiohookdError."""
    sockets = Sockets(os.environ)
    hook = sockets.listen("hook", config.hook.listen, "hook.listen")
    admin = sockets.listen("admin", config.admin.listen, "admin.listen")
    sockets.let_go()
    return hook, admin, _bind_control()


def _readiness(worker: Worker, store: StoreThread, allow_list: AllowList, draining: Draining) -> Mapping[str, Check]:
    """Return the checks that an event posted now would be accepted and labeled, and its labels could be sent."""
    return {
        "model": worker.labeler_trouble,
        "store": lambda: store.trouble,
        "worker": worker.stalled,
        "callback": lambda: None if allow_list else "callback.allow_hosts is empty: labels may be sent nowhere",
        CHECK: draining.why_not_ready,
    }


def _bind_control() -> socket.socket:
    folder = paths.runtime_dir(os.environ)
    try:
        return control.bind(folder)
    except OSError as error:
        raise CamiohookdError(f"cannot make the control socket in {folder}: {reason(error, folder)}") from error


def _address(sockets: list[socket.socket]) -> str:
    return "{}:{}".format(*sockets[0].getsockname()[:2])
