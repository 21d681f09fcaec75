"""How commands read the daemon's settings: the option ``--config``, and reading without the keys."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.config import paths

if TYPE_CHECKING:
    from camiohookd.config.load import Config

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    metavar="FILE",
    help="The daemon's configuration, which holds the key.  "
    "[default: camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd]",
)


def settings_without_keys() -> "Config":
    """Return the daemon's settings, for a command that needs no key and that every user may run.

    The settings file holds the key, so that not every user may read it. Without it, the defaults and the CAMIOHOOKD_*
    variables apply. Raises ConfigError.
    """
    from camiohookd.config.load import load_config

    hidden = _is_hidden(paths.config_file(os.environ))
    return load_config(Path(os.devnull) if hidden else None, os.environ)


def _is_hidden(file: Path) -> bool:
    """Return whether `file`, or a folder that it is in, is closed to this user."""
    try:
        file.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return not os.access(file, os.R_OK)


def judges_the_service(path: Path | None) -> bool:
    """Return whether root asks about the installed service, and not about the settings of another place (`path`)."""
    from camiohookd.system import service

    file = paths.DEFAULT_CONFIG_DIR / "camiohookd.toml"
    elsewhere = (path or paths.config_file(os.environ)).absolute() != file
    named = any(name.startswith("CAMIOHOOKD_") for name in os.environ)
    return os.geteuid() == 0 and not elsewhere and not named and service.is_installed()
