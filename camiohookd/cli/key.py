"""The keys that Camio may post with: made, listed by name, and taken out of use; several at once while one is replaced.

options ─▶ the settings, for where the file is ─▶ `apikeys` ─▶ the new key, once, or the names
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from camiohookd.config.load import Config

_RELOAD = "The daemon knows of it after: systemctl reload camiohookd"
_config = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The settings, instead of camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd.",
)
_name = click.argument("name")


@click.group()
def key() -> None:
    """Make keys for Camio, and take them out of use.

    They are kept in the file that api_keys_file names, else in api-keys beside the settings. To replace one: make a
    new one, reload the daemon, register the hook with it, and retire the old one. Run it as root.
    """


@key.command()
@_name
@_config
def new(name: str, config_file: Path | None) -> None:
    """Make a key, put it into the file under NAME, and print it.

    This is the one time that it is shown. NAME is for the log and for you.
    """
    from camiohookd.config import api_keys

    _, file = _settings_and_file(config_file)
    made = api_keys.add(file, name)
    click.echo(made)
    click.echo(f"It is in {file}. {_RELOAD}", err=True)


@key.command("list")
@_config
def list_keys(config_file: Path | None) -> None:
    """Print the keys' names; beside a weak one, that it is."""
    from camiohookd.config import api_keys
    from camiohookd.config.load import load_with_keys

    for name, value in load_with_keys(config_file, os.environ)[1].items():
        click.echo(f"{name}  (weak: {api_keys.WEAK})" if api_keys.is_weak(value) else name)


@key.command()
@_name
@_config
def retire(name: str, config_file: Path | None) -> None:
    """Take the key of that NAME out of the file.

    The last one stays, unless api_key is set: the daemon would go on with the one it has.
    """
    from camiohookd.config import api_keys

    settings, file = _settings_and_file(config_file)
    api_keys.retire(file, name, may_be_last=bool(settings.hook.api_key))
    click.echo(f"It is no longer in {file}. {_RELOAD}", err=True)


def _settings_and_file(config_file: Path | None) -> "tuple[Config, Path]":
    from camiohookd.config import load, paths

    settings = load.load_config(config_file, os.environ)
    return settings, load.keys_file(settings, config_file or paths.config_file(os.environ))
