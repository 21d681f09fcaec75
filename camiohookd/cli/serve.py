"""`camiohookd serve`, `labels` and `example-config`."""

import os
from functools import partial
from pathlib import Path

import click

_CONFIG_HELP = "The settings, instead of camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd."


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path, readable=False), metavar="FILE", help=_CONFIG_HELP)
def serve(path: Path | None) -> int:
    """Run the daemon until SIGTERM.

    Every setting can also come from the environment, which wins over the file: CAMIOHOOKD_HOOK_LISTEN is listen
    under [hook]. The queue is kept in $STATE_DIRECTORY, else in /var/lib/camiohookd.

    \b
    Example:
      STATE_DIRECTORY=~/queue camiohookd serve --config ~/camiohookd.toml
    """
    from camiohookd.system.signals import Signals

    signals = Signals()  # before the imports, which take a second on a slow board

    from camiohookd.daemon.setup import read as read_setup
    from camiohookd.system import logs

    read = partial(read_setup, path, dict(os.environ))
    setup = read()
    logs.setup_logging(setup.config.log.level, setup.keys.values(), setup.config.log.format)

    from camiohookd.daemon import lifecycle

    return lifecycle.run(setup, read, signals)


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path, readable=False), metavar="FILE", help=_CONFIG_HELP)
def labels(path: Path | None) -> None:
    """List the labels that the configured model knows, one per line.

    Rules name labels exactly as they are listed here. Own code makes its own labels, and nothing is listed.

    \b
    Example:
      camiohookd labels | grep -i person
    """
    from camiohookd.config import load
    from camiohookd.labelers.open import known_labels

    known = known_labels(load.load_config(path, os.environ).labeler)
    if known is None:
        click.echo("the labels are made by your own code: see what it returns", err=True)
    for label in known or ():
        click.echo(label)


@click.command("example-config")
def example_config() -> None:
    """Print a configuration file with every setting, its default and what it does.

    \b
    Example:
      camiohookd example-config > camiohookd.toml
    """
    from camiohookd.config import reference

    click.echo(reference.example_config(), nl=False)
