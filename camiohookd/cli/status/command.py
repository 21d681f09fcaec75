"""`camiohookd status`: show how the service is doing.

a running daemon ─▶ its answer on the control socket ─┐
a stopped one ─▶ the contents of its state folder    ─┴▶ `StatusReport` ─▶ a table for 80 columns, or JSON
"""

import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.config import paths
from camiohookd.errors import StateFolderBusy, StateFolderError, StateFolderInUse

if TYPE_CHECKING:
    from camiohookd.monitoring.status import StatusReport

NOT_RUNNING = 3
"""The exit status if the daemon does not run; the same as that of systemctl status."""

_START = "start it: sudo systemctl start camiohookd; why it ended: journalctl -u camiohookd -n 20"
_TOP, _CLEAR_BELOW, _CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"  # ECMA-48: CUP, ED, EL


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; with --watch, one a line.")
@click.option("--watch", is_flag=True, help="Show it repeatedly, until you press Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: the time between two reports.",
)
def status(as_json: bool, watch: bool, interval: float) -> int:
    """Show how the service is doing: what waits, how fast it works, the last errors, the last event of each camera.

    The times are those of the last 500 events since the start: half of the events were faster than the first number,
    95 % were faster than the second. What is written per event is the mean since the start, of the queue and of the
    status page's history together. Run it as root or as camiohookd's user.

    Exit status: 0 if it works, is degraded or drains; 1 if it does not work; 3 if it does not run. With --watch: 0
    after Ctrl-C.

    \b
    Examples:
      sudo camiohookd status
      sudo camiohookd status --watch
      sudo camiohookd status --json | jq .queue.tasks
    """
    control, state = paths.control_socket(os.environ), paths.state_dir(os.environ)
    if watch:
        return _watch(control, state, interval, as_json=as_json)
    report = _ask(control) or _stopped(control, state)
    _show(report, as_json=as_json)
    return {"does not work": 1, "not running": NOT_RUNNING}.get(report.verdict, 0)


def _watch(control: Path, state: Path, interval: float, *, as_json: bool) -> int:
    """Show reports until Ctrl-C. Open the queue of a stopped service only once, because that delays a start."""
    last = _ask(control) or _stopped(control, state)
    try:
        while True:
            _show(last, as_json=as_json, redraw=sys.stdout.isatty())
            time.sleep(interval)
            last = _ask(control) or (last if last.verdict == "not running" else _stopped(control, state))
    except KeyboardInterrupt:
        click.echo()
        return 0


def _ask(control: Path) -> "StatusReport | None":
    """Return the running daemon's report; None if none runs. Raises QueueError."""
    from camiohookd.monitoring.status import StatusReport
    from camiohookd.web import control_client
    from camiohookd.web.control_commands import AskStatus

    if not control_client.is_served(control):
        return None
    return control_client.ask(control, AskStatus(), StatusReport)


def _stopped(control: Path, state: Path) -> "StatusReport":
    """Return a report from the state folder of a stopped daemon."""
    from camiohookd.cli.queue_client import connect
    from camiohookd.daemon import rolled_back
    from camiohookd.monitoring.status import QueueStatus, StatusReport
    from camiohookd.queue.commands import CountTasks
    from camiohookd.queue.views import QueueSnapshot

    reasons, queue = [_START], None
    if (failed := rolled_back.read(paths.config_file(os.environ))) is not None:
        reasons.append(failed)
    try:
        with connect(control, state) as client:
            found = client.ask(CountTasks(), QueueSnapshot)
        queue = QueueStatus(dict(found.tasks), round(found.oldest_seconds, 1), found.stored_bytes, found.free_bytes)
    except (StateFolderInUse, StateFolderBusy) as error:
        reasons.insert(0, f"it is starting or stopping, or another command uses the queue: {error}")
    except StateFolderError as error:
        reasons.insert(0, str(error))
    return StatusReport("not running", reasons, version("camiohookd"), queue)


def _show(report: "StatusReport", *, as_json: bool, redraw: bool = False) -> None:
    import msgspec

    from camiohookd.cli.status.table import lines

    if as_json:
        click.echo(msgspec.json.encode(report))
        return
    shown = lines(report)
    if redraw:  # overwrite the old lines instead of clearing the screen, which would flicker
        click.echo(_TOP + "".join(f"{line}{_CLEAR_LINE}\n" for line in shown) + _CLEAR_BELOW, nl=False)
    else:
        click.echo("\n".join(shown))
    sys.stdout.flush()
