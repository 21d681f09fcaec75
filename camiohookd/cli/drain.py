"""`camiohookd drain`: take the box out of service without losing or delaying an event.

the command ─▶ the control socket ─▶ `web.draining.Draining`; with --wait, until nothing waits in the queue
"""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.errors import CamiohookdError

if TYPE_CHECKING:
    from camiohookd.web.control_commands import DrainProgress

_POLL_SECONDS = 0.5
_REPORT_SECONDS = 10.0


@click.command()
@click.option("--wait", is_flag=True, help="Wait until every event in the queue is labeled and delivered, or failed.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="With --wait: how long to wait at most; without it, as long as it takes.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="Accept new events for this long after the health check fails, so that a load balancer notices first.",
)
@click.option("--off", is_flag=True, help="Accept new events again.")
def drain(wait: bool, timeout: float | None, grace: float, off: bool) -> None:
    """Refuse new events, and finish those in the queue: before maintenance of a box behind a load balancer.

    New events get 503 with Retry-After. GET /tasks/ and /readyz answer 503, too, so that a load balancer sends events
    to other boxes. Events in the queue are labeled and delivered. A restart of the service, or --off, ends it. Ctrl-C
    ends the waiting, not the draining.

    Exit status: 0 if it drains, with --wait if nothing waits any longer; 1 if the service does not run, or if events
    still wait after --timeout.

    \b
    Examples:
      sudo camiohookd drain --wait && sudo systemctl stop camiohookd
      sudo camiohookd drain --grace 5 --wait --timeout 600
      sudo camiohookd drain --off
    """
    if off and (wait or grace or timeout is not None):
        raise click.UsageError("--off cannot be combined with other options")
    if timeout is not None and not wait:
        raise click.UsageError("--timeout needs --wait")
    control = _control_socket()
    progress = _ask(control, is_on=not off, grace=grace)
    if off:
        click.echo("New events are taken again.")
    elif wait:
        _wait(control, progress, timeout)
    else:
        click.echo(_refused(progress))


def _wait(control: Path, progress: "DrainProgress", timeout: float | None) -> None:
    """Wait until nothing is left. Raises CamiohookdError at the end of `timeout`, or if the draining was ended."""
    started = reported = time.monotonic()
    click.echo(_refused(progress), err=True)
    while not progress.refuses or progress.pending or progress.labelled:
        now = time.monotonic()
        if timeout is not None and now - started >= timeout:
            message = f"{_left(progress)} The waiting has ended after {timeout:g} s; the box still drains"
            raise CamiohookdError(f"{message} (see them: sudo camiohookd queue list)")
        if now - reported >= _REPORT_SECONDS:
            reported = now
            click.echo(_left(progress), err=True)
        time.sleep(_POLL_SECONDS if timeout is None else min(_POLL_SECONDS, timeout))
        progress = _ask(control)
        if not progress.is_on:
            raise CamiohookdError(
                f"the box accepts new events again, because of another command or a restart. {_left(progress)}"
            )
    click.echo("Drained: no event waits in the queue.")


def _refused(progress: "DrainProgress") -> str:
    when = "are refused" if progress.refuses else "are taken until the grace period is over"
    return f"New events {when}. {_left(progress)}"


def _left(progress: "DrainProgress") -> str:
    return f"Still to label: {progress.pending}, to deliver: {progress.labelled}."


def _control_socket() -> Path:
    """Return the control socket of the running service. Raises QueueError, CamiohookdError if none runs."""
    from camiohookd.config import paths
    from camiohookd.web.control_client import is_served

    control = paths.control_socket(os.environ)
    if not is_served(control):
        raise CamiohookdError("the service is not running, so it accepts no events: sudo systemctl status camiohookd")
    return control


def _ask(control: Path, *, is_on: bool | None = None, grace: float = 0.0) -> "DrainProgress":
    """Switch the draining, or with None only ask how far it is. Raises QueueError."""
    from camiohookd.web.control_client import ask
    from camiohookd.web.control_commands import Drain, DrainProgress

    return ask(control, Drain(is_on, grace), DrainProgress)
