"""`camiohookd check`: try everything that a start would need, and change nothing.

root, the service is installed ─▶ the same command again, run as the service ─┐
settings, keys, certificate ─▶ model or own code ─▶ state folder ─▶ ports ────┴▶ warnings, and "ok" or the error
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from camiohookd.config.settings import LabelerSettings
    from camiohookd.daemon.setup import Setup

_CONFIG_HELP = "The settings, instead of camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd."


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help=_CONFIG_HELP)
@click.option(
    "--reload", "only_reload", is_flag=True, help="Check only what a reload reads: settings, rules, keys, certificate."
)
@click.option("--as-me", is_flag=True, help="Judge what the user who runs this may do, not what the service may do.")
def check(path: Path | None, only_reload: bool, as_me: bool) -> int:
    """Say ok, or what would keep the daemon from starting (exit status 78, or 1 for a port that is taken).

    Run it with sudo on an installed box: then it is run as the service would be, as its user and in its sandbox. Key
    files and code that only root can read, and ports that only root may use, are errors.
    """
    from camiohookd.daemon import setup
    from camiohookd.system import service

    if not as_me and _judges_the_service(path) and service.is_installed():
        ended = service.run("check", "--as-me", *(["--reload"] if only_reload else []))
        click.echo(ended.output, nl=False, err=ended.status != 0)
        return ended.status
    found = setup.read(path, os.environ)
    if not only_reload:  # a reload logs its warnings itself
        _check_start(found)
        for warning in _warnings(found):
            click.echo(f"warning: {warning}", err=True)
            sys.stderr.flush()
    click.echo("ok")
    return 0


def _judges_the_service(path: Path | None) -> bool:
    """Return whether root asks about the installed service, and not about settings of another place."""
    from camiohookd.config import paths

    file = paths.DEFAULT_CONFIG_DIR / "camiohookd.toml"
    elsewhere = (path or paths.config_file(os.environ)).absolute() != file
    return os.geteuid() == 0 and not elsewhere and not any(name.startswith("CAMIOHOOKD_") for name in os.environ)


def _check_start(found: "Setup") -> None:
    """Try what only a start needs. Raises CamiohookdError."""
    from camiohookd.config import paths
    from camiohookd.daemon import sockets

    _check_labeler(found.config.labeler)
    _check_state(paths.state_dir(os.environ))
    sockets.check_address(found.config.hook.listen, "hook.listen")
    sockets.check_address(found.config.admin.listen, "admin.listen")


def _check_labeler(settings: "LabelerSettings") -> None:
    """Load the model on the CPU, or start the owner's code. Raises SetupError."""
    from camiohookd.labelers.onnx.devices import parse_device
    from camiohookd.labelers.open import open_labeler

    parse_device(settings.device)
    if settings.kind == "onnx":
        from camiohookd.labelers import model
        from camiohookd.labelers.onnx.labeler import open_onnx

        open_onnx(model.find(settings.model)).close()
    else:
        open_labeler(settings, None, lambda _degraded: None).labeler.close()


def _check_state(folder: Path) -> None:
    """Look for files of the queue that this user cannot use: root leaves such files when it runs the daemon."""
    from camiohookd.errors import StateFolderError

    try:
        unusable = next((file for file in (folder, *folder.iterdir()) if not os.access(file, os.R_OK | os.W_OK)), None)
    except FileNotFoundError:
        return  # the first start makes it
    except PermissionError:
        unusable = folder
    if unusable is not None:
        raise StateFolderError(
            f"{unusable}: the daemon must be able to read and write it; "
            f"give the queue back to the service: sudo chown -R camiohookd: {folder}"
        )


def _warnings(found: "Setup") -> Iterator[str]:
    from camiohookd import rules
    from camiohookd.daemon import setup
    from camiohookd.labelers.open import known_labels

    if (warning := setup.plain_http_warning(found)) is not None:
        yield warning
    yield from rules.problems(found.config.rule, known_labels(found.config.labeler))
