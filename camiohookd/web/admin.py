"""The private listener: ``/metrics``, ``/healthz``, ``/readyz``, ``/openapi.json``; never on the public port.

A web page in a browser on this machine could reach it under a name of its own that resolves to this address (DNS
rebinding), so it answers only where it is called by an IP address or localhost.
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from ipaddress import ip_address

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from tornado.web import url

from camiohookd.metrics import Metrics
from camiohookd.web import openapi
from camiohookd.web.server import answers
from camiohookd.web.server.answers import Refused
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.listener import ListenerLimits, Site

Check = Callable[[], str | None]
"""Says what is wrong in a sentence, None if nothing is; must not block."""

LIMITS = ListenerLimits(connections=32, discard_bytes=65536, discard_seconds=2)


class AdminEndpoint(Endpoint):
    """A request to the private listener."""

    def admit(self) -> None:
        if not is_address(self.request.host_name):
            raise Refused(answers.FOREIGN_HOST)


class Health(AdminEndpoint):
    """The event loop turns, or nobody would answer."""

    async def serve(self) -> None:
        self.reply(200, {"status": "ok"})


class Readiness(AdminEndpoint):
    """200 if every check is content; 503 with the reasons of those that are not."""

    def initialize(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def serve(self) -> None:
        results = {name: check() for name, check in self._checks.items()}
        reasons = {name: reason for name, reason in results.items() if reason is not None}
        if reasons:
            self.reply(503, {"ready": False, "reasons": reasons})
        else:
            self.reply(200, {"ready": True})


class MetricsPage(AdminEndpoint):
    """Prometheus' text format, or OpenMetrics where it is asked for."""

    def initialize(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def serve(self) -> None:
        encode, content_type = encoding_for(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.write(encode(self._metrics.registry))


class Description(AdminEndpoint):
    """What the public listener takes and answers, as OpenAPI."""

    async def serve(self) -> None:
        self.reply(200, openapi.describe(version("camiohookd")))


def encoding_for(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """The function that writes the metrics, and its media type, by the Accept header."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number: prometheus_client compares it with one
        return choose_encoder("")


def is_address(host: str) -> bool:
    """`host` is an IP address, or names this machine itself."""
    if host == "localhost":
        return True
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def admin_application(metrics: Metrics, checks: Mapping[str, Check], limits: ListenerLimits = LIMITS) -> Site:
    """The site for `site.listen`; `checks` by name."""
    paths = [
        url("/metrics", MetricsPage, {"metrics": metrics}),
        url("/healthz", Health),
        url("/readyz", Readiness, {"checks": checks}),
        url("/openapi.json", Description),
    ]
    return Site([*paths], UnknownPath, limits)
