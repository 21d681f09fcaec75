"""`camiohookd admin`: set and remove the password of the private listener.

the terminal, or standard input ─▶ `admin_password` ─▶ the file beside the settings
"""

import os
import sys
from pathlib import Path

import click

from camiohookd.cli.secret_input import read_standard_input
from camiohookd.cli.settings import RELOAD, config_option
from camiohookd.errors import CamiohookdError


@click.group()
def admin() -> None:
    """Set the password of the status page.

    \b
    Example:
      sudo camiohookd admin password
    """


@admin.command()
@config_option
@click.option("--remove", is_flag=True, help="Remove the password. Then only this machine can open the status page.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input instead of asking.")
def password(config_file: Path | None, remove: bool, from_stdin: bool) -> None:
    """Set the password of the private listener: the status page, /metrics and /readyz.

    It asks twice, and writes the password's scrypt hash into the file "admin-password" beside the settings. All
    browsers are logged out. Without a password, only this machine can reach the private listener.

    \b
    Examples:
      sudo camiohookd admin password
      pass show camiohookd | sudo camiohookd admin password --stdin
    """
    from camiohookd.config import admin_password, paths

    file = (config_file or paths.config_file(os.environ)).with_name(admin_password.FILE_NAME)
    if remove:
        _remove(file)
        click.echo(f"Removed the password: deleted {file}. {RELOAD}", err=True)
        return
    chosen = read_standard_input() if from_stdin else _asked()
    admin_password.check_length(chosen)
    admin_password.write(file, chosen)
    click.echo(f"Wrote the password's hash into {file}. {RELOAD}", err=True)


def _asked() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("standard input is not a terminal; use --stdin to read the password from it")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True))


def _remove(file: Path) -> None:
    from camiohookd.system import permissions

    try:
        file.unlink()
    except FileNotFoundError:
        raise CamiohookdError(f"there is no password: {file} does not exist") from None
    except OSError as error:
        raise CamiohookdError(f"{file}: cannot be deleted: {permissions.reason(error, file)}") from None
