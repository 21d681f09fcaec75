"""The private listener: the status page, ``/metrics``, ``/healthz``, ``/readyz``, ``/openapi.json``.

It answers only requests whose Host is an IP address, localhost or a name that the owner gave. Otherwise a web page in a
browser on this machine could read it through a host name that resolves to this address (DNS rebinding).

If there is a password, the numbers take it from other machines, by Basic authentication; ``/healthz`` says nothing
about the box and takes none.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from tornado.routing import Rule
from tornado.web import url

from camiohookd.monitoring.metrics import Metrics
from camiohookd.web import openapi
from camiohookd.web.access import Access
from camiohookd.web.server import error_responses
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.server.listener import ListenerLimits, Site

Check = Callable[[], str | None]
"""Returns what is wrong as a sentence, None if nothing is. Must not block."""

LIMITS = ListenerLimits(connections=64, discard_bytes=65536, discard_seconds=2)


@dataclass(frozen=True, slots=True)
class AdminContext:
    """What all requests share; `checks` by name decide what ``/readyz`` answers."""

    access: Access
    metrics: Metrics
    checks: Mapping[str, Check]


class AdminEndpoint(Endpoint):
    """A request to the private listener from a program."""

    def initialize(self, admin: AdminContext) -> None:
        self._admin = admin

    def admit(self) -> None:
        if not self._admin.access.allows_host(self.request.host_name):
            raise Refused(error_responses.FOREIGN_HOST)

    async def check_access(self) -> None:
        """Raise `Refused` unless the client may see the numbers."""
        headers = self.request.headers
        await self._admin.access.check_program(
            headers.get("Authorization", ""),
            self.get_cookie(self._admin.access.cookie_name) or "",
            self.peer,
            is_forwarded="X-Forwarded-For" in headers or "Forwarded" in headers,
        )


class Health(AdminEndpoint):
    """200 whenever the event loop runs: otherwise no answer would come."""

    async def serve(self) -> None:
        self.reply(200, {"status": "ok"})


class Readiness(AdminEndpoint):
    """200 if an event posted now would be accepted, labeled and could be delivered; otherwise 503 with the reasons."""

    async def serve(self) -> None:
        await self.check_access()
        if reasons := failing(self._admin.checks):
            self.reply(503, {"ready": False, "reasons": reasons})
        else:
            self.reply(200, {"ready": True})


class MetricsPage(AdminEndpoint):
    """The metrics in Prometheus' text format, or in OpenMetrics if the request asks for it."""

    async def serve(self) -> None:
        await self.check_access()
        encode, content_type = encoding_for(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.write(encode(self._admin.metrics.registry))


class Description(AdminEndpoint):
    """The description of the public listener, as OpenAPI."""

    async def serve(self) -> None:
        await self.check_access()
        self.reply(200, openapi.describe(version("camiohookd")))


def failing(checks: Mapping[str, Check]) -> dict[str, str]:
    """Return the reason of each check that fails, by its name."""
    return {name: reason for name, check in checks.items() if (reason := check()) is not None}


def encoding_for(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the function that writes the metrics, and its media type, for an Accept header."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # prometheus_client expects a version to be a number
        return choose_encoder("")


def admin_application(
    metrics: Metrics,
    checks: Mapping[str, Check],
    limits: ListenerLimits = LIMITS,
    *,
    access: Access | None = None,
    pages: Iterable[Rule] = (),
) -> Site:
    """Return the site for `listen`; `checks` by name decide what ``/readyz`` answers, `pages` are the status page's."""
    parts = {"admin": AdminContext(access or Access(), metrics, checks)}
    paths = [
        url("/metrics", MetricsPage, parts),
        url("/healthz", Health, parts),
        url("/readyz", Readiness, parts),
        url("/openapi.json", Description, parts),
    ]
    return Site([*paths, *pages], UnknownPath, limits)
