"""Run Home Assistant with its MQTT integration, and print its states: a program of the environment of Home Assistant.

    python states.py FOLDER PORT

FOLDER is for its settings, PORT is the broker's on the loopback. Each line read is answered with a line: a JSON object
of all states, by entity, each ``{"state": ..., "attributes": {...}}``. The end of the input ends it.
"""

import asyncio
import json
import sys
from pathlib import Path

from homeassistant import bootstrap, runner
from homeassistant.core import HomeAssistant

ENTRY = {
    "entry_id": "broker",
    "version": 2,
    "minor_version": 1,
    "domain": "mqtt",
    "title": "broker",
    "options": {},
    "pref_disable_new_entities": False,
    "pref_disable_polling": False,
    "source": "user",
    "unique_id": None,
    "disabled_by": None,
    "discovery_keys": {},
    "subentries": [],
    "created_at": "2026-01-01T00:00:00+00:00",
    "modified_at": "2026-01-01T00:00:00+00:00",
}
"""The settings that Home Assistant's own dialog makes for a broker, without `data`."""


def prepare(folder: Path, port: int) -> None:
    """Write the settings."""
    (folder / ".storage").mkdir()
    (folder / "configuration.yaml").write_text("homeassistant:\n")
    entry = {**ENTRY, "data": {"broker": "127.0.0.1", "port": port, "protocol": "5"}}
    stored = {"key": "core.config_entries", "version": 1, "minor_version": 5, "data": {"entries": [entry]}}
    (folder / ".storage/core.config_entries").write_text(json.dumps(stored))


async def serve(folder: Path) -> None:
    """Run Home Assistant until the end of the input."""
    bootstrap.CRITICAL_INTEGRATIONS = set()  # its web page is a package of its own, and not needed
    hass = await bootstrap.async_setup_hass(
        runner.RuntimeConfig(config_dir=str(folder), skip_pip=True, recovery_mode=False, safe_mode=False)
    )
    assert hass is not None
    await hass.async_start()
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps(states(hass), default=str), flush=True)
    await hass.async_stop(force=True)


def states(hass: HomeAssistant) -> dict[str, object]:
    """Return all states, by entity."""
    return {
        each.entity_id: {"state": each.state, "attributes": dict(each.attributes)} for each in hass.states.async_all()
    }


prepare(Path(sys.argv[1]), int(sys.argv[2]))
asyncio.run(serve(Path(sys.argv[1])))
