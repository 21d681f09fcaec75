"""`camiohookd serve`, `labels` and `example-config`."""

import gc
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.settings import config_option

if TYPE_CHECKING:
    from camiohookd.system.signals import Signals


@click.command()
@config_option
def serve(config_file: Path | None) -> int:
    """Run the daemon until SIGTERM.

    A variable of the environment overrides the setting in the file: CAMIOHOOKD_HOOK_LISTEN overrides listen under
    [hook]. The queue is in $STATE_DIRECTORY, by default in /var/lib/camiohookd.

    \b
    Example:
      STATE_DIRECTORY=~/queue camiohookd serve --config ~/camiohookd.toml
    """
    from camiohookd.system.signals import Signals

    signals = Signals()  # before the imports, which take a second on a slow board
    gc.disable()  # until the daemon is about to listen: meanwhile collections take time and find little (tricks.md)
    try:
        return _serve(config_file, signals)
    finally:
        gc.enable()


def _serve(config_file: Path | None, signals: "Signals") -> int:
    from camiohookd.daemon.setup import read as read_setup
    from camiohookd.system import logs

    read = partial(read_setup, config_file, dict(os.environ))
    setup = read()
    logs.setup_logging(setup.config.log.level, setup.keys.values(), setup.config.log.format)

    from camiohookd.daemon import lifecycle

    return lifecycle.run(setup, read, signals)


@click.command()
@config_option
def labels(config_file: Path | None) -> None:
    """List the labels that the configured models know, one per line.

    A rule must name a label exactly as listed. If your own code labels the pictures, nothing is listed.

    \b
    Example:
      camiohookd labels | grep -i person
    """
    from camiohookd.config import load
    from camiohookd.labelers.open import labels_of

    labelers = load.load_config(config_file, os.environ).labelers
    known = dict[str, None]()
    for each in labelers:
        labels = labels_of(each)
        if labels is None:
            which = f"labeler {each.title}: " if len(labelers) > 1 else ""
            click.echo(f"{which}your own code makes the labels: see what it returns", err=True)
        known |= dict.fromkeys(labels or ())
    for label in known:
        click.echo(label)


@click.command("example-config")
def example_config() -> None:
    """Print a settings file with every setting, its default and its description.

    \b
    Example:
      camiohookd example-config > camiohookd.toml
    """
    from camiohookd.config import reference

    click.echo(reference.example_config(), nl=False)
