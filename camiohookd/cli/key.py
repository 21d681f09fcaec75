"""`camiohookd key`: create, list and retire the keys with which Camio posts. Several can be valid at the same time.

options ─▶ the settings, which name the file ─▶ `api_keys` ─▶ the new key, printed once, or the names
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.settings import RELOAD, config_option

if TYPE_CHECKING:
    from camiohookd.config.load import Config

_name = click.argument("name")


@click.group()
def key() -> None:
    """Create, list and retire the keys with which Camio posts events.

    The keys are in the file that api_keys_file names; by default, in api-keys beside the settings. To replace a key:
    create a new one, reload the daemon, register the hook with the new key, then retire the old one. Use sudo.
    """


@key.command()
@_name
@config_option
def new(name: str, config_file: Path | None) -> None:
    """Create a key, add it to the file as NAME, and print it.

    The key is never shown again. The log shows NAME instead of the key.

    \b
    Example:
      sudo camiohookd key new winter
    """
    from camiohookd.config import api_keys

    _, file = _settings_and_file(config_file)
    made = api_keys.add(file, name)
    click.echo(made)
    click.echo(f"Added the key to {file}. {RELOAD}", err=True)


@key.command("list")
@config_option
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
@config_option
def retire(name: str, config_file: Path | None) -> None:
    """Remove the key NAME from the file.

    The last key cannot be removed unless api_key is set: the daemon does not start without a key.

    \b
    Example:
      sudo camiohookd key retire summer
    """
    from camiohookd.config import api_keys

    settings, file = _settings_and_file(config_file)
    api_keys.retire(file, name, may_be_last=bool(settings.hook.api_key))
    click.echo(f"Removed the key from {file}. {RELOAD}", err=True)


def _settings_and_file(config_file: Path | None) -> "tuple[Config, Path]":
    from camiohookd.config import load, paths

    settings = load.load_config(config_file, os.environ)
    return settings, load.keys_file(settings, config_file or paths.config_file(os.environ))
