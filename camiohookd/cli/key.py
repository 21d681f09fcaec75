"""`camiohookd key`: make, list and retire the keys that Camio posts with. Several keys are valid at the same time.

options ─▶ the settings, which name the file ─▶ `api_keys` ─▶ the new key, printed once, or the names
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from camiohookd.config.load import Config

_RELOAD = "Tell the daemon: sudo systemctl reload camiohookd"
_config = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, readable=False),
    metavar="FILE",
    help="The settings, instead of camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd.",
)
_name = click.argument("name")


@click.group()
def key() -> None:
    """Make, list and retire the keys that Camio posts events with.

    The keys are in the file that api_keys_file names, else in api-keys beside the settings. To replace a key: make a
    new one, reload the daemon, register the hook with the new key, then retire the old one. Run this with sudo.
    """


@key.command()
@_name
@_config
def new(name: str, config_file: Path | None) -> None:
    """Make a key, add it to the file under NAME, and print it.

    The key is never shown again. The log shows NAME instead of the key.

    \b
    Example:
      sudo camiohookd key new winter
    """
    from camiohookd.config import api_keys

    _, file = _settings_and_file(config_file)
    made = api_keys.add(file, name)
    click.echo(made)
    click.echo(f"The key is in {file}. {_RELOAD}", err=True)


@key.command("list")
@_config
def list_keys(config_file: Path | None) -> None:
    """Print the names of the keys, and which keys are weak.

    \b
    Example:
      sudo camiohookd key list
    """
    from camiohookd.config import key_strength
    from camiohookd.config.load import load_with_keys

    for name, value in load_with_keys(config_file, os.environ)[1].items():
        click.echo(f"{name}  (weak: {key_strength.WEAK})" if key_strength.is_weak(value) else name)


@key.command()
@_name
@_config
def retire(name: str, config_file: Path | None) -> None:
    """Remove the key of that NAME from the file.

    The last key cannot be removed unless api_key is set: the daemon does not start without a key.

    \b
    Example:
      sudo camiohookd key retire summer
    """
    from camiohookd.config import api_keys

    settings, file = _settings_and_file(config_file)
    api_keys.retire(file, name, may_be_last=bool(settings.hook.api_key))
    click.echo(f"The key is removed from {file}. {_RELOAD}", err=True)


def _settings_and_file(config_file: Path | None) -> "tuple[Config, Path]":
    from camiohookd.config import load, paths

    settings = load.load_config(config_file, os.environ)
    return settings, load.keys_file(settings, config_file or paths.config_file(os.environ))
