"""Decide what counts as trouble: `Facts` and `Limits` ─▶ the present troubles, by key."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from camiohookd.system.clock import iso
from camiohookd.system.logs import escape
from camiohookd.units import duration, size


class Key(NamedTuple):
    """Identifies a trouble: its kind, and the camera or the listener, "" for the whole box."""

    alert: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of trouble: seconds that an event waits, free bytes, seconds until a certificate expires."""

    queue_age: float
    disk_free: int
    certificate: float


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts at the Unix time `now`.

    `certificates` are the Unix times at which the listeners' certificates end; `silent` are the times since when
    cameras have been silent; `refused` says why the last delivery was given up, None if none was lately; `rolled_back`
    says which version failed after an upgrade, and what became of it, None if none did.
    """

    now: float
    degraded: bool
    oldest_seconds: float
    free_bytes: int
    certificates: Mapping[str, float]
    silent: Mapping[str, float]
    refused: str | None
    rolled_back: str | None = None


def troubles(facts: Facts, limits: Limits) -> dict[Key, str]:
    """Yield the key of each present trouble with a sentence."""
    return dict(_found(facts, limits))


def _found(facts: Facts, limits: Limits) -> Iterator[tuple[Key, str]]:
    if facts.degraded:
        yield (
            Key("degraded"),
            "The CPU labels in place of the chosen device or servers, which are tried again; the log says why.",
        )
    if facts.oldest_seconds > limits.queue_age:
        waited = duration(facts.oldest_seconds)
        yield Key("queue_old"), f"An event has waited {waited} for its labels or their delivery."
    if facts.free_bytes < limits.disk_free:
        yield Key("disk_short"), f"Only {size(facts.free_bytes)} are free on the queue's disk; make room on it."
    for camera, since in facts.silent.items():
        yield (
            Key("camera_silent", camera),
            f"The camera {escape(camera) or 'without a name'} has sent nothing since {iso(since)}.",
        )
    for listener, end in facts.certificates.items():
        if end - facts.now < limits.certificate:
            verb = "expires" if end > facts.now else "expired"
            yield (
                Key("certificate", listener),
                f"The certificate of the {listener} listener {verb} on {iso(end)}; replace the file and run "
                "systemctl reload camiohookd.",
            )
    if facts.rolled_back is not None:
        yield Key("rolled_back"), facts.rolled_back
    if facts.refused is not None:
        yield (
            Key("deliveries_refused"),
            f'The labels of an event were given up: {escape(facts.refused)}. "sudo camiohookd queue list --state '
            'failed" lists such events.',
        )
