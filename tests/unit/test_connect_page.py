"""The JSON examples of docs/connect.md are what the daemon writes."""

import json
import logging
from typing import Any

import msgspec

from camiohookd.monitoring.mqtt.messages import EventMessage
from camiohookd.monitoring.notify.ledger import Notice
from camiohookd.system.log_fields import about
from camiohookd.system.logs import JsonFormatter
from tests.support.checkout import ROOT


def example(heading: str) -> dict[str, Any]:
    """Return the first JSON example below a heading."""
    section = (ROOT / "docs/connect.md").read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    item: dict[str, Any] = json.loads(section.partition("```json\n")[2].partition("```")[0])
    return item


def test_the_example_of_an_mqtt_event_has_its_fields() -> None:
    item = example("MQTT and Home Assistant")
    assert msgspec.to_builtins(msgspec.convert(item, EventMessage)) == item


def test_the_example_of_an_alert_has_its_fields() -> None:
    item = example("Be told of trouble")
    assert msgspec.to_builtins(msgspec.convert(item, Notice)) == item


def test_the_example_of_a_log_line_has_its_fields() -> None:
    item = example("Logs")
    record = logging.LogRecord(item["logger"], logging.INFO, "x.py", 1, item["message"], (), None)
    record.__dict__.update(about(item["event"], task=item["task"], camera=item["camera"]))
    written = json.loads(JsonFormatter([]).format(record))
    assert {**written, "time": item["time"]} == item
    assert list(written) == list(item)
