"""Read secrets from files, standard input and terminals, never from arguments, which other users could see."""

import os
import sys
from pathlib import Path

import click

from camiohookd.system.permissions import reason

TOKEN_VARIABLE = "CAMIO_OAUTH_TOKEN"  # noqa: S105  # the name of a variable, the one that Camio's own script reads
STANDARD_INPUT = "-"
MAX_SECRET_INPUT = 65_536
"""The most bytes to read from a file or from standard input."""


def read_token(token_file: str | None) -> str:
    """Return Camio's OAuth token: from `token_file` (``-``: standard input), the environment, or the terminal.

    Raises click.ClickException.
    """
    if token_file is not None:
        return read_secret(token_file)
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return token
    if sys.stdin.isatty():
        return str(click.prompt("Camio's OAuth token", hide_input=True, err=True)).strip()
    raise click.UsageError(f"there is no token: set {TOKEN_VARIABLE}, or give --token-file")


def read_secret(file: str) -> str:
    """Return the contents of `file` (``-``: standard input) without surrounding blanks. Raises click.ClickException."""
    return read_standard_input() if file == STANDARD_INPUT else _read_file(file)


def read_standard_input() -> str:
    """Return all of standard input, without surrounding blanks."""
    return sys.stdin.buffer.read(MAX_SECRET_INPUT).decode("utf-8", "replace").strip()


def _read_file(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_SECRET_INPUT).strip()
    except OSError as error:
        raise click.FileError(path, reason(error, path)) from None
