"""The options that several commands share, and how commands read the settings."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.config import paths

if TYPE_CHECKING:
    from camiohookd.config.load import Config

CAMIO = "https://camio.com"
RELOAD = "To use it now: sudo systemctl reload camiohookd"

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The settings file.  [default: camiohookd.toml in $CONFIGURATION_DIRECTORY, otherwise in /etc/camiohookd]",
)
api_option = click.option(
    "--api", "base_url", default=CAMIO, show_default=True, metavar="URL", help="The address of Camio's API."
)


def settings_without_keys() -> "Config":
    """Return the daemon's settings, for a command that needs no key and that every user may run.

    The settings file may contain the key. A user who cannot read it gets the defaults and the CAMIOHOOKD_* variables.
    Raises ConfigError.
    """
    from camiohookd.config.load import load_config

    hidden = _is_hidden(paths.config_file(os.environ))
    return load_config(Path(os.devnull) if hidden else None, os.environ)


def _is_hidden(file: Path) -> bool:
    """Return whether this user cannot read `file`, or cannot enter a folder above it."""
    try:
        file.stat()
    except OSError as error:
        return isinstance(error, PermissionError)
    return not os.access(file, os.R_OK)


def judges_the_service(path: Path | None) -> bool:
    """Return whether a command is about the installed service: root runs it, with the service's own settings.

    `path` is the settings file that was named, None for the usual one.
    """
    from camiohookd.system import service

    file = paths.DEFAULT_CONFIG_DIR / "camiohookd.toml"
    elsewhere = (path or paths.config_file(os.environ)).absolute() != file
    named = any(name.startswith("CAMIOHOOKD_") for name in os.environ)
    return os.geteuid() == 0 and not elsewhere and not named and service.is_installed()
