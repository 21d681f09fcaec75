"""Make the URL to which Camio posts, find its secret part, and judge whether Camio can reach it."""

import re
from urllib.parse import unquote

import click

from camiohookd.cli.secret_input import STANDARD_INPUT, read_standard_input
from camiohookd.errors import MalformedUrl
from camiohookd.net.addresses import why_host_not_public
from camiohookd.net.urls import split_url


def from_public_url(public_url: str, key: str) -> str:
    """Append ``/tasks/`` and `key` to `public_url`. Raises click.BadParameter."""
    path = _path(public_url, "--public-url")
    if re.search(r"[?#]|/tasks(/|$)", path):
        raise click.BadParameter("it must end before /tasks/, without ? and #", param_hint="'--public-url'")
    return f"{public_url.rstrip('/')}/tasks/{key}"


def from_whole_url(given: str) -> str:
    """Return the URL `given`, or for ``-`` the one on standard input. Raises click.BadParameter."""
    url = read_standard_input() if given == STANDARD_INPUT else given
    _path(url, "--callback-url")
    return url


def keys_of(callback_url: str) -> list[str]:
    """Return the secret part of `callback_url`, as it is and unquoted.

    This is what follows ``/tasks/``, or in a URL without that, everything after the host.
    """
    _, path = split_url(callback_url)
    _, tasks, behind = path.partition("/tasks/")
    key = re.split(r"[?#]", behind)[0] if tasks else path.lstrip("/")
    return [key, unquote(key)]


def why_unreachable(callback_url: str) -> str | None:
    """Return why Camio, which is on the internet and uses only https, cannot post there; None if it can."""
    origin = split_url(callback_url)[0]
    if reason := why_host_not_public(origin.host):
        return f"{origin.host} is {reason}, which cannot be reached from the internet"
    if origin.scheme != "https":
        return "the URL is not https, so the key and the pictures would travel unencrypted"
    return None


def _path(url: str, option: str) -> str:
    try:
        return split_url(url)[1]
    except MalformedUrl as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None
