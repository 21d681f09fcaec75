"""The private listener over real sockets."""

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from tornado.netutil import bind_unix_socket

from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.views import QueueSnapshot
from camiohookd.web.admin import Check, admin_application
from camiohookd.web.server.listener import ListenerLimits, listen

PATIENCE = 20
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

Result = TypeVar("Result")


def with_admin(
    client: Callable[[str], Result], metrics: Metrics | None = None, checks: Mapping[str, Check] | None = None
) -> Result:
    """Start an admin listener and return what `client` returns for its address."""

    async def serve() -> Result:
        bound = socket.create_server(("127.0.0.1", 0))
        listener = listen(admin_application(metrics or Metrics(), checks or {}), [bound])
        try:
            return await asyncio.to_thread(client, f"http://127.0.0.1:{bound.getsockname()[1]}")
        finally:
            await listener.drain(0)

    return asyncio.run(serve())


def get(path: str, **headers: str) -> Callable[[str], requests.Response]:
    return lambda url: requests.get(url + path, headers=headers, timeout=PATIENCE)


def test_is_healthy_while_the_event_loop_runs() -> None:
    answer = with_admin(get("/healthz"))
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert answer.headers["Cache-Control"] == "no-store"


def test_is_ready_if_every_check_passes() -> None:
    answer = with_admin(get("/readyz"), checks={"model": lambda: None, "store": lambda: None})
    assert (answer.status_code, answer.json()) == (200, {"ready": True})


def test_not_ready_names_the_checks_that_fail_and_why() -> None:
    checks: dict[str, Check] = {"model": lambda: None, "store": lambda: "the disk is full"}
    answer = with_admin(get("/readyz"), checks=checks)
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reasons": {"store": "the disk is full"}})


def test_is_not_ready_if_a_check_raises(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> str | None:
        raise OSError("the cause")

    answer = with_admin(get("/readyz"), checks={"store": broken})
    assert answer.status_code == 503
    assert "cause" not in answer.text
    assert "the cause" in caplog.text


def test_metrics_show_the_current_queue() -> None:
    metrics = Metrics()
    metrics.events_accepted.inc(3)
    metrics.watch_queue(lambda: QueueSnapshot({"pending": 5}, 1.5, 0, 0, 0, 0, {}))
    answer = with_admin(get("/metrics"), metrics)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    values = {each.name: each.value for family in families for each in family.samples}
    assert values["camiohookd_events_accepted_total"] == 3
    assert values["camiohookd_queue_tasks"] == 5


def test_metrics_come_as_openmetrics_on_request() -> None:
    answer = with_admin(get("/metrics", Accept=OPENMETRICS))
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert "camiohookd_degraded 0.0\n" in answer.text
    assert answer.text.endswith("# EOF\n")


ODD_ACCEPTS = ["*/*", "", "application/openmetrics-text;version=abc", "text/plain;version=1.x;,;=", "\xff"]


@pytest.mark.parametrize("accept", ODD_ACCEPTS)
def test_metrics_come_for_any_accept_header(accept: str) -> None:
    assert with_admin(get("/metrics", Accept=accept)).status_code == 200


@pytest.mark.parametrize("host", ["attacker.example", "127.0.0.1.attacker.example:8001", "localhost.attacker.example"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
def test_refuses_a_web_page_that_uses_another_host_name(host: str, path: str) -> None:
    answer = with_admin(get(path, Host=host))
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "foreign_host"


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost", "LOCALHOST:1", "[::1]:8001", "192.0.2.7"])
def test_accepts_an_address_as_host(host: str) -> None:
    assert with_admin(get("/healthz", Host=host)).status_code == 200


@pytest.mark.parametrize("path", ["/", "/tasks/", "/tasks/some-key", "/metrics/"])
def test_an_unknown_path_gets_404(path: str) -> None:
    answer = with_admin(get(path))
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_path"


def test_refuses_posts() -> None:
    answer = with_admin(lambda url: requests.post(f"{url}/readyz", b"{}", timeout=PATIENCE))
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")
    answer = with_admin(lambda url: requests.request("GET", f"{url}/readyz", data=b"{}", timeout=PATIENCE))
    assert answer.status_code == 413


def test_closes_connections_over_the_limit_on_a_unix_socket(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def connect() -> bytes:
        bound = bind_unix_socket(str(tmp_path / "socket"))
        listener = listen(admin_application(Metrics(), {}, ListenerLimits(connections=0)), [bound])
        reader, writer = await asyncio.open_unix_connection(tmp_path / "socket")
        received = await reader.read()
        writer.close()
        await listener.drain(0)
        return received

    assert asyncio.run(connect()) == b""
    assert "connection limit reached: closed a new connection from this machine (the limit is 0)" in caplog.text


def test_does_not_log_probes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with_admin(get("/readyz"))
    with_admin(get("/metrics"))
    assert {record.name.split(".")[0] for record in caplog.records} <= {"asyncio", "urllib3"}
