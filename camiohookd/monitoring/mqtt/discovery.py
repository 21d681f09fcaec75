"""Describe the box and its cameras to Home Assistant: one retained message for each, in the device form.

Keys are abbreviated as at https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery: ``dev`` is the device, ``o``
the program, ``cmps`` the entities, ``p`` their platform, ``stat_t`` the topic of the state, ``avty_t`` of availability.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import msgspec

from camiohookd.monitoring.mqtt.messages import GROUPS, Message
from camiohookd.monitoring.mqtt.topics import Topics, camera_id

Entity = dict[str, Any]

_URL = "https://camio.com"
_CLASSES = {"person": "occupancy", "vehicle": "motion", "animal": "motion"}


def of_box(prefix: str, topics: Topics, host: str) -> Message:
    """Return the description of the box, whose name is `host`; `prefix` is the setting mqtt.discovery."""
    number = {"stat_t": topics.state, "stat_cla": "measurement", "ent_cat": "diagnostic"}
    entities = {
        "problem": {
            "p": "binary_sensor",
            "name": "Problem",
            "dev_cla": "problem",
            "stat_t": topics.state,
            "val_tpl": "{{ value_json.problem }}",
            "json_attr_t": topics.state,
        },
        "degraded": {
            "p": "binary_sensor",
            "name": "Degraded",
            "dev_cla": "problem",
            "ent_cat": "diagnostic",
            "stat_t": topics.state,
            "val_tpl": "{{ value_json.degraded }}",
        },
        "queue": {"p": "sensor", "name": "Queue", "val_tpl": "{{ value_json.waiting }}", **number},
        "oldest": {
            "p": "sensor",
            "name": "Oldest event in the queue",
            "dev_cla": "duration",
            "unit_of_meas": "s",
            "val_tpl": "{{ value_json.oldest_seconds }}",
            **number,
        },
    }
    device = {"ids": [_device_id(topics)], "name": f"camiohookd on {host}", "mf": "camiohookd", "sw": _version()}
    return _message(prefix, _device_id(topics), device, entities, topics)


def of_camera(prefix: str, topics: Topics, name: str, off_after: float, *, pictures: bool) -> Message:
    """Return the description of a camera; its binary sensors turn off `off_after` seconds after the last event."""
    state, event = topics.camera(name, "state"), topics.camera(name, "event")
    entities: dict[str, Entity] = {
        "labels": {"p": "sensor", "name": "Last labels", "stat_t": state, "val_tpl": "{{ value_json.labels }}"},
        "last_event": {
            "p": "sensor",
            "name": "Last event",
            "dev_cla": "timestamp",
            "stat_t": state,
            "val_tpl": "{{ value_json.time }}",
        },
        "events": {
            "p": "sensor",
            "name": "Events",
            "stat_cla": "total_increasing",
            "stat_t": state,
            "val_tpl": "{{ value_json.events }}",
        },
        "event": {"p": "event", "name": "Event", "evt_typ": ["labelled"], "stat_t": event},
    }
    for group in GROUPS:
        entities[group] = {
            "p": "binary_sensor",
            "name": group.capitalize(),
            "dev_cla": _CLASSES[group],
            "stat_t": topics.camera(name, group),
            "off_dly": round(off_after),
        }
    if pictures:
        entities["picture"] = {
            "p": "image",
            "name": "Last picture",
            "img_t": topics.camera(name, "picture"),
            "cont_type": "image/jpeg",
        }
    own = f"{_device_id(topics)}_{camera_id(name)}"
    device = {"ids": [own], "name": name or "Camera without a name", "mf": "Camio", "via_device": _device_id(topics)}
    return _message(prefix, own, device, entities, topics)


def _message(
    prefix: str, own: str, device: Mapping[str, object], entities: Mapping[str, Entity], topics: Topics
) -> Message:
    described = {
        "dev": device,
        "o": {"name": "camiohookd", "sw": _version(), "url": _URL},
        "avty_t": topics.availability,
        "cmps": {key: {**entity, "uniq_id": f"{own}_{key}"} for key, entity in entities.items()},
    }
    return Message(f"{prefix}/device/{own}/config", msgspec.json.encode(described), retain=True)


def _device_id(topics: Topics) -> str:
    return f"camiohookd_{topics.box}"


def _version() -> str:
    return version("camiohookd")
