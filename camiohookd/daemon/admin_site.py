"""Wires the private listener: settings ─▶ password, host names, certificate ─▶ the listener of the owner's pages.

All of these can be replaced while it listens. Belongs to the event loop.
"""

from collections.abc import Iterable, Mapping
from socket import socket

from tornado.routing import Rule

from camiohookd.daemon.setup import Setup
from camiohookd.monitoring.metrics import Metrics
from camiohookd.web.access import Access
from camiohookd.web.admin import Check, admin_application
from camiohookd.web.server.listener import listen


def access_of(setup: Setup) -> Access:
    """Return who may use the private listener."""
    certificate = setup.admin_certificate
    return Access(setup.admin_password, _hosts(setup), is_secure=certificate is not None)


class AdminSite:
    """Serves the numbers and the status page on `sockets`, which already listen; `pages` are the status page's."""

    def __init__(
        self,
        setup: Setup,
        metrics: Metrics,
        readiness: Mapping[str, Check],
        sockets: list[socket],
        access: Access,
        pages: Iterable[Rule] = (),
    ) -> None:
        self._access = access
        self._metrics = metrics
        self._listener = listen(admin_application(metrics, readiness, access=access, pages=pages), sockets)
        self.use(setup)

    def use(self, setup: Setup) -> None:
        """Use the password, the names and the certificate of `setup` from now on. Open connections stay."""
        certificate = setup.admin_certificate
        self._access.use(setup.admin_password, _hosts(setup), is_secure=certificate is not None)
        self._listener.use_certificate(certificate.context if certificate else None)
        self._metrics.certificate_expires(certificate.expires.timestamp() if certificate else None, "admin")

    async def close(self) -> None:
        """Stop answering at once."""
        await self._listener.drain(0)


def _hosts(setup: Setup) -> tuple[str, ...]:
    certificate = setup.admin_certificate
    return (*setup.config.admin.hosts, *(certificate.names if certificate else ()))
