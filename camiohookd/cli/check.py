"""`camiohookd check`: try everything that the daemon's start needs, and change nothing.

root, the service is installed ─▶ the same command again, run as the service ─┐
settings, keys, certificate ─▶ model or own code ─▶ state folder ─▶ ports ────┴▶ warnings, and "ok" or the error
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.settings import config_option, judges_the_service

if TYPE_CHECKING:
    from camiohookd.daemon.setup import Setup


@click.command()
@config_option
@click.option(
    "--reload", "only_reload", is_flag=True, help="Check only what a reload reads: settings, rules, keys, certificate."
)
@click.option("--as-me", is_flag=True, help="Check as the user who runs this, not as the service.")
def check(config_file: Path | None, only_reload: bool, as_me: bool) -> int:
    """Print "ok", or why the daemon could not start (exit status 78, or 1 if a port is in use).

    On an installed box, run it with sudo. It then checks as the service: as its user and in its sandbox. So a file that
    only root can read, and a port that only root can use, are errors.

    \b
    Examples:
      sudo camiohookd check
      camiohookd check --config new.toml
    """
    from camiohookd.daemon import setup
    from camiohookd.system import service

    if not as_me and judges_the_service(config_file):
        ended = service.run("check", "--as-me", *(["--reload"] if only_reload else []))
        click.echo(ended.output, nl=False, err=ended.status != 0)
        return ended.status
    found = setup.read(config_file, os.environ)
    if not only_reload:  # a reload logs its warnings itself
        for warning in [*_check_start(found), *_warnings(found)]:
            click.echo(f"warning: {warning}", err=True)
            sys.stderr.flush()
    click.echo("ok")
    return 0


def _check_start(found: "Setup") -> list[str]:
    """Try what is needed only at the start; return what would not prevent it. Raises CamiohookdError."""
    from camiohookd.cli.doctor import start
    from camiohookd.config import paths
    from camiohookd.daemon import sockets

    warnings = start.check_labelers(found.config.labelers)
    start.check_state(paths.state_dir(os.environ))
    sockets.check_address(found.config.hook.listen, "hook.listen")
    sockets.check_address(found.config.admin.listen, "admin.listen")
    return warnings


def _warnings(found: "Setup") -> Iterator[str]:
    from camiohookd import rules
    from camiohookd.daemon import setup
    from camiohookd.labelers.open import known_labels

    if (warning := setup.plain_http_warning(found)) is not None:
        yield warning
    yield from rules.problems(found.config.rule, known_labels(found.config.labelers))
