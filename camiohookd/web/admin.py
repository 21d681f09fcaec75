"""The private listener: ``/metrics``, ``/healthz``, ``/readyz``, ``/openapi.json``; never on the public port.

It answers only requests whose Host is an IP address or localhost. Otherwise a web page in a browser on this machine
could read it through a host name that resolves to this address (DNS rebinding).
"""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from ipaddress import ip_address

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from tornado.web import url

from camiohookd.metrics import Metrics
from camiohookd.web import openapi
from camiohookd.web.server import error_responses
from camiohookd.web.server.endpoint import Endpoint, UnknownPath
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.server.listener import ListenerLimits, Site

Check = Callable[[], str | None]
"""Returns what is wrong as a sentence, None if nothing is. Must not block."""

LIMITS = ListenerLimits(connections=32, discard_bytes=65536, discard_seconds=2)


class AdminEndpoint(Endpoint):
    """A request to the private listener."""

    def admit(self) -> None:
        if not is_address(self.request.host_name):
            raise Refused(error_responses.FOREIGN_HOST)


class Health(AdminEndpoint):
    """200 whenever the event loop runs: otherwise no answer would come."""

    async def serve(self) -> None:
        self.reply(200, {"status": "ok"})


class Readiness(AdminEndpoint):
    """200 if an event posted now would be accepted, labelled and could be delivered; otherwise 503 with the reasons."""

    def initialize(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    async def serve(self) -> None:
        if reasons := failing(self._checks):
            self.reply(503, {"ready": False, "reasons": reasons})
        else:
            self.reply(200, {"ready": True})


class MetricsPage(AdminEndpoint):
    """The metrics in Prometheus' text format, or in OpenMetrics if the request asks for it."""

    def initialize(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def serve(self) -> None:
        encode, content_type = encoding_for(self.request.headers.get("Accept", ""))
        self.set_header("Content-Type", content_type)
        self.write(encode(self._metrics.registry))


class Description(AdminEndpoint):
    """The description of the public listener, as OpenAPI."""

    async def serve(self) -> None:
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


def is_address(host: str) -> bool:
    """Return whether `host` is an IP address or localhost."""
    if host == "localhost":
        return True
    try:
        ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def admin_application(metrics: Metrics, checks: Mapping[str, Check], limits: ListenerLimits = LIMITS) -> Site:
    """Return the site for `listen`; `checks` by name decide what ``/readyz`` answers."""
    paths = [
        url("/metrics", MetricsPage, {"metrics": metrics}),
        url("/healthz", Health),
        url("/readyz", Readiness, {"checks": checks}),
        url("/openapi.json", Description),
    ]
    return Site([*paths], UnknownPath, limits)
