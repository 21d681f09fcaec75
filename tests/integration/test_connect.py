"""What other programs learn of the daemon: its log as JSON, and its metrics with the shipped rules and dashboard."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.checkout import ROOT
from tests.support.daemon_process import KEY, Daemon, post_event
from tests.support.promtool import checked
from tests.support.threaded_simulator import FakeCamioThread


@pytest.fixture(scope="module")
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, camio: FakeCamioThread) -> Iterator[Daemon]:
    """A daemon that logs JSON, has delivered an event and refused another one."""
    folder: Path = tmp_path_factory.mktemp("connected")
    with Daemon(folder, camio.origin, {"CAMIOHOOKD_LOG_FORMAT": "json"}) as daemon:
        post_event(daemon, camio, "first")
        assert camio.post(daemon.url.replace(KEY, "a-wrong-key"), b"{}").status == 403
        daemon.wait_until(lambda: '"event": "delivered"' in daemon.log)
        yield daemon


def test_every_line_of_the_log_is_an_object_with_an_event(daemon: Daemon) -> None:
    lines = [json.loads(line) for line in daemon.log.splitlines()]
    assert all({"time", "level", "logger", "event", "message"} <= set(line) for line in lines)
    of_event = [(line["event"], line["camera"]) for line in lines if line.get("task") == "1"]
    assert of_event == [("accepted", "front"), ("labelled", "front"), ("delivered", "front")]
    assert [line["event"] for line in lines][:1] == ["starting"]


RULES = ROOT / "prometheus/alerts.yml"
DASHBOARD = ROOT / "prometheus/grafana-dashboard.json"
COLUMNS = 24


def test_promtool_accepts_the_metrics(daemon: Daemon) -> None:
    checked("check", "metrics", stdin=daemon.admin("/metrics")[1])


@pytest.mark.parametrize("file", [RULES, DASHBOARD], ids=["rules", "dashboard"])
def test_every_metric_that_they_name_is_in_metrics(daemon: Daemon, file: Path) -> None:
    text = daemon.admin("/metrics")[1]
    samples = re.findall(r"^(\w+)[{ ]", text, re.MULTILINE)
    gauges = re.findall(r"^# TYPE (\w+) gauge", text, re.MULTILINE)  # of those that have no sample without TLS
    named = set(re.findall(r"\b(?:camiohookd|process)_[a-z_]+[a-z]", file.read_text()))
    assert len(named) >= 8
    assert named <= {*samples, *gauges}


def test_the_metrics_have_every_cause_from_the_start(daemon: Daemon) -> None:
    """increase() does not see the first failure of a cause whose series begins with it."""
    assert daemon.metric('tasks_failed_total{reason="refused"}') == 0


class Source(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    uid: str


class Position(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    y: int
    w: int
    h: int


class Target(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    ref_id: str
    expr: str
    legend_format: str
    datasource: Source


class Panel(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    id: int
    title: str
    description: str
    type: str
    datasource: Source
    grid_pos: Position
    field_config: dict[str, object]
    options: dict[str, object]
    targets: list[Target]


class Dashboard(msgspec.Struct, rename="camel"):
    """What a dashboard of Grafana 10.4 or newer has: https://grafana.com/docs/grafana/latest/reference/dashboard-json-model/."""

    uid: str
    title: str
    schema_version: int
    time: dict[str, str]
    templating: dict[str, list[dict[str, object]]]
    panels: list[Panel]


@pytest.fixture(scope="module")
def dashboard() -> Dashboard:
    return msgspec.json.decode(DASHBOARD.read_bytes(), type=Dashboard)


def test_the_dashboard_has_the_form_of_grafanas_model(dashboard: Dashboard) -> None:
    assert dashboard.schema_version == 39
    assert [variable["name"] for variable in dashboard.templating["list"]] == ["datasource", "instance"]
    assert len({panel.id for panel in dashboard.panels}) == len(dashboard.panels)
    assert {panel.type for panel in dashboard.panels} == {"stat", "timeseries"}
    assert {panel.datasource.uid for panel in dashboard.panels} == {"${datasource}"}
    cells: set[tuple[int, int]] = set()
    for panel in dashboard.panels:
        place = panel.grid_pos
        mine = {(x, y) for x in range(place.x, place.x + place.w) for y in range(place.y, place.y + place.h)}
        assert not mine & cells, f"{panel.title} lies on another panel"
        assert place.x + place.w <= COLUMNS
        cells |= mine
        assert len({target.ref_id for target in panel.targets}) == len(panel.targets)


def test_promtool_accepts_the_queries_of_the_dashboard(dashboard: Dashboard, tmp_path: Path) -> None:
    queries = [target.expr.replace("$__rate_interval", "5m") for panel in dashboard.panels for target in panel.targets]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(queries)} rules found" in checked("check", "rules", str(file))


def test_promtool_accepts_the_alert_rules() -> None:
    assert "12 rules found" in checked("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should() -> None:
    checked("test", "rules", str(ROOT / "tests/integration/alerts.test.yml"))


def test_promtool_accepts_the_example_of_the_documentation(tmp_path: Path) -> None:
    example = (ROOT / "docs/connect.md").read_text().partition("```yaml\n")[2].partition("```")[0]
    file = tmp_path / "prometheus.yml"
    file.write_text(example.replace("/usr/share/camiohookd/alerts.yml", str(RULES)))
    assert "1 rule files found" in checked("check", "config", str(file))
