"""Wires the public listener: settings ─▶ keys, certificate, limits, intake ─▶ the listener that Camio posts to.

Keys and certificate can be replaced while it listens. Belongs to the event loop.
"""

from socket import socket

from camiohookd.config.load import Config
from camiohookd.daemon.setup import Setup
from camiohookd.delivery import AllowList
from camiohookd.monitoring.activity import Activity
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.web.draining import Draining
from camiohookd.web.hook import hook_application
from camiohookd.web.intake import Intake
from camiohookd.web.keys import Keys
from camiohookd.web.nonces import Nonces
from camiohookd.web.server.listener import ListenerLimits, listen
from camiohookd.web.server.peers import Peers
from camiohookd.wire.event import EventLimits

BODIES_IN_MEMORY = 3
"""The memory for bodies that arrive or wait, in events of the largest size. Reading one more needs its own."""


class HookSite:
    """Receives events on `sockets`, which already listen."""

    def __init__(
        self,
        setup: Setup,
        store: StoreThread,
        allow_list: AllowList,
        metrics: Metrics,
        activity: Activity,
        sockets: list[socket],
        draining: Draining,
    ) -> None:
        config = setup.config
        self._metrics = metrics
        self._keys = Keys(setup.keys)
        self.nonces = Nonces()
        site = hook_application(
            intake=Intake(
                store,
                limits=event_limits(config),
                check_callback=allow_list.refuse_private,
                max_bytes=config.hook.max_body_bytes,
                check_open=draining.check_event,
            ),
            keys=self._keys,
            metrics=metrics,
            activity=activity,
            limits=listener_limits(config),
            wrong_keys=config.hook.max_wrong_keys,
            peers=Peers(config.hook.trusted_proxies),
            nonces=self.nonces,
            draining=draining,
        )
        self._listener = listen(site, sockets)
        self.use(setup)

    def use(self, setup: Setup) -> None:
        """Use the keys and the certificate of `setup` from now on. Open connections stay."""
        self._keys.replace(setup.keys)
        certificate = setup.certificate
        self._listener.use_certificate(certificate.context if certificate else None)
        self._metrics.certificate_expires(certificate.expires.timestamp() if certificate else None)

    async def drain(self, grace: float) -> None:
        """Accept no more connections, and serve the open ones for at most `grace` seconds."""
        await self._listener.drain(grace)


def event_limits(config: Config) -> EventLimits:
    """Return the limits of one event that `config` sets."""
    hook = config.hook
    return EventLimits(hook.max_images, hook.max_json_depth, config.images.max_bytes, hook.max_json_bytes)


def listener_limits(config: Config) -> ListenerLimits:
    """Return the limits of the public listener that `config` sets."""
    hook = config.hook
    return ListenerLimits(
        body_bytes=hook.max_body_bytes,
        bodies_bytes=BODIES_IN_MEMORY * hook.max_body_bytes,
        body_rate=hook.min_body_rate,
        header_bytes=hook.max_header_bytes,
        header_seconds=hook.header_timeout,
        connections=hook.max_connections,
        connections_of_one=hook.max_connections_per_address,
        idle_seconds=hook.idle_timeout,
    )
