"""`serve`, and what helps to set it up: `check`, `example-config`."""

import os
from pathlib import Path

import click

_CONFIG_HELP = "The settings, instead of /etc/camiohookd/camiohookd.toml."


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help=_CONFIG_HELP)
def serve(path: Path | None) -> int:
    """Run the daemon until SIGTERM.

    Every setting can also come from the environment, which wins over the file: CAMIOHOOKD_HOOK_LISTEN is listen
    under [hook]. The queue is kept in $STATE_DIRECTORY, else in /var/lib/camiohookd.
    """
    from camiohookd import config, systemd

    settings = config.load(path, os.environ)
    systemd.setup_logging(settings.log.level, config.require_api_keys(settings).values())

    from camiohookd import daemon

    return daemon.run(settings)


@click.command()
@click.option("--config", "path", type=click.Path(path_type=Path), metavar="FILE", help=_CONFIG_HELP)
def check(path: Path | None) -> None:
    """Say ok, or what is wrong with the settings (exit status 78)."""
    from camiohookd import config

    config.require_api_keys(config.load(path, os.environ))
    click.echo("ok")


@click.command("example-config")
def example_config() -> None:
    """Print a configuration file with every setting, its default and what it does."""
    from camiohookd import configdoc

    click.echo(configdoc.example_config(), nl=False)
