"""`camiohookd admin`: set and remove the password of the private listener.

the terminal, or standard input ─▶ `admin_password` ─▶ the file beside the settings
"""

import os
import sys
from pathlib import Path

import click

from camiohookd.cli.secret_input import read_standard_input
from camiohookd.cli.settings import config_option
from camiohookd.errors import CamiohookdError

_RELOAD = "Tell the daemon: sudo systemctl reload camiohookd"


@click.group()
def admin() -> None:
    """Set the password of the status page.

    \b
    Example:
      sudo camiohookd admin password
    """


@admin.command()
@config_option
@click.option("--remove", is_flag=True, help="Remove the password: the status page is then open to this machine.")
@click.option("--stdin", "from_stdin", is_flag=True, help="Read the password from standard input, without a question.")
def password(config_file: Path | None, remove: bool, from_stdin: bool) -> None:
    """Set the password of the private listener: the status page, /metrics and /readyz.

    It is asked for twice, and its scrypt hash is written into the file "admin-password" beside the settings. Without a
    password, only this machine may reach the private listener. All browsers are logged out.

    \b
    Examples:
      sudo camiohookd admin password
      pass show camiohookd | sudo camiohookd admin password --stdin
    """
    from camiohookd.config import admin_password, paths

    file = (config_file or paths.config_file(os.environ)).with_name(admin_password.FILE_NAME)
    if remove:
        _remove(file)
        click.echo(f"The password is removed: {file} is deleted. {_RELOAD}", err=True)
        return
    chosen = read_standard_input() if from_stdin else _asked()
    if len(chosen) < admin_password.SHORTEST:
        raise CamiohookdError(f"the password is too short: choose {admin_password.SHORTEST} or more characters")
    if len(chosen.encode("utf-8", "surrogatepass")) > admin_password.LONGEST:
        raise CamiohookdError(f"the password is too long: choose at most {admin_password.LONGEST} bytes")
    admin_password.write(file, chosen)
    click.echo(f"The password's hash is in {file}. {_RELOAD}", err=True)


def _asked() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("standard input is no terminal; with --stdin the password is read from it")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True))


def _remove(file: Path) -> None:
    from camiohookd.system import permissions

    try:
        file.unlink()
    except FileNotFoundError:
        raise CamiohookdError(f"there is no password: {file} does not exist") from None
    except OSError as error:
        raise CamiohookdError(f"{file}: cannot be deleted: {permissions.reason(error, file)}") from None
