"""`serve`, and what helps to set it up: `check`, `example-config`."""

import os
from pathlib import Path

import click

_CONFIG_HELP = "The settings, instead of camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd."


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help=_CONFIG_HELP)
def serve(path: Path | None) -> int:
    """Run the daemon until SIGTERM.

    Every setting can also come from the environment, which wins over the file: CAMIOHOOKD_HOOK_LISTEN is listen
    under [hook]. The queue is kept in $STATE_DIRECTORY, else in /var/lib/camiohookd.
    """
    from camiohookd.stopsignal import StopSignal

    stop = StopSignal()  # before the rest is even imported, which takes a second on a slow board

    from camiohookd import config, systemd

    settings, keys = config.load_with_keys(path, os.environ)
    systemd.setup_logging(settings.log.level, keys.values())

    from camiohookd import daemon

    return daemon.run(settings, keys, stop)


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help=_CONFIG_HELP)
def check(path: Path | None) -> None:
    """Say ok, or what is wrong with the settings or the model's files (exit status 78)."""
    from camiohookd import config
    from camiohookd.labelers import model
    from camiohookd.labelers.onnx.devices import parse_device

    settings, _ = config.load_with_keys(path, os.environ)
    parse_device(settings.labeler.device)
    folder = model.find(settings.labeler.model)
    model.read_model(folder, model.load_description(folder))
    click.echo("ok")


@click.command("example-config")
def example_config() -> None:
    """Print a configuration file with every setting, its default and what it does."""
    from camiohookd import configdoc

    click.echo(configdoc.example_config(), nl=False)
