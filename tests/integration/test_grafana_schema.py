"""The shipped dashboard against Grafana's own schema, as its Foundation SDK has it: classes made from that schema.

A class of the SDK keeps what its schema names and drops everything else, so that a misspelled field gets lost. The
options of each panel and the queries are read by the classes of their plugins (stat, timeseries, prometheus).
`tests/integration/test_connect.py` checks types and positions with a model of our own, without installing anything.
"""

import copy
import json
from typing import Any

import pytest

from tests.support import extra_packages
from tests.support.checkout import ROOT

# Version 2 of the schema is for Grafana 12 and newer alone; all of them read version 1, which is the shipped one.
pytestmark = pytest.mark.filterwarnings("ignore:Prefer using dashboardv2:DeprecationWarning")

LOCK = ROOT / "tests/integration/grafana-requirements.lock"
NOT_TESTED = "NOT TESTED: the dashboard against Grafana's schema, because"


@pytest.fixture(scope="module")
def dashboard(long_run: bool) -> dict[str, Any]:
    if not long_run:
        pytest.skip(f"{NOT_TESTED} the schema is installed in a long run (--long) only")
    extra_packages.install(LOCK, "grafana", f"{NOT_TESTED} the schema")
    found: dict[str, Any] = json.loads((ROOT / "prometheus/grafana-dashboard.json").read_text())
    return found


def as_read(dashboard: dict[str, Any]) -> dict[str, Any]:
    """Return the dashboard as Grafana's classes read and write it."""
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    plugins.register_default_plugins()
    written: dict[str, Any] = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    return written


def missing(before: object, after: object, path: str = "") -> list[str]:
    """Return the paths of everything in `before` that `after` lacks or has with another value."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [each for key in before for each in missing(before[key], after.get(key), f"{path}/{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [each for nth, item in enumerate(before) for each in missing(item, after[nth], f"{path}/{nth}")]
    return [] if before == after else [path]


def test_grafanas_schema_knows_every_field_of_the_dashboard(dashboard: dict[str, Any]) -> None:
    assert missing(dashboard, as_read(dashboard)) == []


@pytest.mark.parametrize(
    "path",
    [("panels", 0, "gridPos"), ("panels", 0, "options"), ("panels", 0, "targets", 0), ("templating", "list", 0)],
    ids=["panel", "options", "query", "variable"],
)
def test_a_misspelled_field_would_be_found(dashboard: dict[str, Any], path: tuple[str | int, ...]) -> None:
    wrong: Any = copy.deepcopy(dashboard)
    place = wrong
    for step in path:
        place = place[step]
    place["misspelled"] = 1
    assert missing(wrong, as_read(wrong)) == ["/" + "/".join(map(str, (*path, "misspelled")))]
