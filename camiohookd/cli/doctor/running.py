"""Ask the running daemon through its control socket."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from camiohookd.config import paths
from camiohookd.monitoring.status import StatusReport
from camiohookd.web import control_client
from camiohookd.web.control_commands import Allowed, AllowTestCallback, AskStatus, ExpectNonce, Proof


class Nonce(NamedTuple):
    """A random number to send to ``/tasks/``, and the proof that only the running daemon can answer, once."""

    nonce: str
    proof: str


class RunningDaemon:
    """A daemon that listens on the control socket `control`; `report` is its status at the beginning."""

    def __init__(self, control: Path, report: StatusReport) -> None:
        self._control = control
        self.report = report

    def new_nonce(self) -> Nonce:
        """Have the daemon expect a new nonce. Raises QueueError."""
        nonce = secrets.token_hex(16)
        return Nonce(nonce, control_client.ask(self._control, ExpectNonce(nonce), Proof).proof)

    def allow_test_callback(self, origin: str) -> None:
        """Let the daemon send labels to `origin`, on the loopback, for two minutes. Raises QueueError."""
        control_client.ask(self._control, AllowTestCallback(origin), Allowed)


def find_daemon(environ: Mapping[str, str]) -> RunningDaemon | None:
    """Return the running daemon; None if none runs. Raises QueueError if this user may not use the control socket."""
    control = paths.control_socket(environ)
    if not control_client.is_served(control):
        return None
    return RunningDaemon(control, control_client.ask(control, AskStatus(), StatusReport))
