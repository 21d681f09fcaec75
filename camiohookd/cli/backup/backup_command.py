"""`camiohookd backup`: save settings, keys, rules, taught labels, added models, and if asked the queue, in one file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.settings import config_option

if TYPE_CHECKING:
    from camiohookd.cli.backup.contents import BoxFiles

passphrase_option = click.option(
    "--passphrase-file",
    metavar="FILE",
    help="Read the passphrase from the first line of FILE (-: standard input) instead of asking for it.",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, readable=False))
@click.option("--queue", is_flag=True, help="Save the queue and the history, too; stop the service first.")
@click.option("--models-by-hash", is_flag=True, help="Save only the hashes of added models, not the models themselves.")
@click.option("--encrypt", is_flag=True, help="Encrypt the file with a passphrase, which is asked for.")
@passphrase_option
@config_option
def backup(
    file: Path, queue: bool, models_by_hash: bool, encrypt: bool, passphrase_file: str | None, config_file: Path | None
) -> None:
    """Save the settings, keys, rules, taught labels and added models of this box in FILE.

    Only you can read the file. It holds the keys, so encrypt it (--encrypt) before it leaves the box. It is a tar with
    a manifest of checksums. "camiohookd restore" brings it back, on this box or on another one.

    \b
    Examples:
      sudo camiohookd backup box.backup --encrypt
      sudo camiohookd backup box.backup --queue
    """
    from camiohookd.cli.backup import saving
    from camiohookd.units import plural, size

    here = box(config_file)
    if queue:
        with saving.locked(here.state):  # tell that the service runs before asking for a passphrase
            pass
    passphrase = read_passphrase(passphrase_file, confirm=True) if encrypt or passphrase_file is not None else None
    saved = saving.save(file, here, queue=queue, models=not models_by_hash, passphrase=passphrase)
    click.echo(f"{file}: {plural(len(saved.files), 'file')}, {size(file.stat().st_size)}")
    for model in saved.models_left_out:
        click.echo(f"not in it, its hash only: model {model.name}, SHA-256 {model.sha256}")
    for path in saved.elsewhere:
        click.echo(f"not in it: {path}, which the settings name; copy it yourself")
    if passphrase is None:
        click.echo("It is not encrypted, and it holds the keys: keep it where only you can read it.")


def box(config_file: Path | None) -> "BoxFiles":
    """Return the settings file and the state folder that a command means."""
    from camiohookd.cli.backup.contents import BoxFiles
    from camiohookd.config import paths

    return BoxFiles(config_file or paths.config_file(os.environ), paths.state_dir(os.environ))


def read_passphrase(file: str | None, *, confirm: bool = False) -> str:
    """Return the passphrase in the first line of `file` (``-``: standard input). Without a file, ask for it.

    With `confirm`, ask twice. Raises click.ClickException.
    """
    from camiohookd.cli import secret_input

    if file is None:
        return str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True))
    return secret_input.read_secret(file).partition("\n")[0]
