"""Make the topics and the ids of this box and its cameras."""

import hashlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path

_MACHINE_ID = Path("/etc/machine-id")
_NOT_PLAIN = re.compile(r"[^a-z0-9]+")
_LONGEST = 32


def box_id(machine_id: Path = _MACHINE_ID) -> str:
    """Return a stable id of this machine that does not reveal its machine-id (machine-id(5) asks for that)."""
    try:
        secret = machine_id.read_text().strip()
    except OSError:
        secret = ""
    return hashlib.sha256(f"camiohookd {secret or socket.gethostname()}".encode()).hexdigest()[:12]


def camera_id(name: str) -> str:
    """Return an id of a camera that is valid in a topic; different names have different ids."""
    plain = _NOT_PLAIN.sub("_", name.lower()).strip("_")[:_LONGEST]
    return f"{plain or 'camera'}_{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Topics:
    """`root` is the setting mqtt.topic, `box` is `box_id`."""

    root: str
    box: str

    @property
    def availability(self) -> str:
        """The topic of ``online`` and ``offline``; the latter is also the last will."""
        return f"{self.root}/{self.box}/status"

    @property
    def state(self) -> str:
        """The topic of the state of the box, in JSON."""
        return f"{self.root}/{self.box}/state"

    def camera(self, name: str, what: str) -> str:
        """Return the topic of one property of a camera."""
        return f"{self.root}/{self.box}/camera/{camera_id(name)}/{what}"
