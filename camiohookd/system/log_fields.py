"""What a record of the log is about, for programs that read the log: its event, the task and the camera.

The name of an event is stable: a script may look for it, while the words of the message may change from one version to
the next. docs/connect.md lists the names; a test compares them with the calls.
"""

import logging
from collections.abc import Mapping

OTHER = "other"
"""The event of records that libraries log."""

_EVENT, _TASK, _CAMERA = "camiohookd_event", "camiohookd_task", "camiohookd_camera"


def about(event: str, *, task: object = None, camera: str | None = None) -> Mapping[str, object]:
    """Return the argument `extra` of a log call: `event` is its stable name; None where there is no task or camera."""
    return {_EVENT: event, _TASK: None if task is None else str(task), _CAMERA: camera}


def event_of(record: logging.LogRecord) -> str:
    """Return the stable name of what happened, `OTHER` if the record has none."""
    return str(getattr(record, _EVENT, OTHER))


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """Return ``event``, and ``task`` and ``camera`` where the record has them, in this order."""
    fields = {"event": event_of(record)}
    for name, attribute in (("task", _TASK), ("camera", _CAMERA)):
        if (value := getattr(record, attribute, None)) is not None:
            fields[name] = str(value)
    return fields
