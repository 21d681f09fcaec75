"""The commands that tell Camio about this box: a callback URL and a query go out, Camio's answer is shown.

    options ──▶ query.check ──▶ the callback URL, the key from the config ──▶ the token ──▶ hooks_api.HooksApi
                                                               masking ◀── Camio's answer ◀──┘

The key and the token are secrets: neither can be given as an argument, which other users of the machine could see
(`--callback-url` takes ``-`` for that reason), and both are masked in everything that is shown.
"""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote

import click

from camiohookd.camio import query
from camiohookd.cli.masking import masker
from camiohookd.errors import CamioRefused, CamioRequestError, CamioUnreachable, ConfigError, MalformedUrl, QueryError
from camiohookd.net.urls import split_url

if TYPE_CHECKING:
    from camiohookd.camio import hooks_api

CAMIO = "https://camio.com"
HOOK_TYPES = ("query_match", "query_match_ad_hoc", "label_hit")
TOKEN_VARIABLE = "CAMIO_OAUTH_TOKEN"  # noqa: S105  # a variable's name, the one that Camio's own script reads
STANDARD_INPUT = "-"
MAX_SECRET_INPUT = 65_536

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The daemon's configuration, where the key is.  "
    "[default: camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd]",
)
token_option = click.option(
    "--token-file",
    metavar="PATH|-",
    help=f"Read the OAuth token from a file, or with - from standard input, instead of from {TOKEN_VARIABLE}.",
)
api_option = click.option(
    "--api", "base_url", default=CAMIO, show_default=True, metavar="URL", help="Where Camio's API is."
)
query_option = click.option(
    "--query", "query_text", required=True, metavar="QUERY", help="The filter, such as \"camera == 'front'\"."
)


class _WrongQuery(click.ClickException):
    """Shown alone: how the command is used says nothing of how a query is written."""

    exit_code = 2

    def __init__(self, text: str, error: QueryError) -> None:
        super().__init__(f"{query.caret(text, error)}\nError: --query: {error}")

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=True)


@click.group()
def hooks() -> None:
    """Register this box with Camio: create, list and delete hooks, and try their queries.

    The OAuth token comes from your account's page, https://camio.com/settings/integrations#api. It is read from the
    environment variable CAMIO_OAUTH_TOKEN, from --token-file, or asked for on a terminal.
    """


@hooks.command()
@click.option(
    "--public-url",
    metavar="URL",
    help="Where Camio reaches this box, such as https://hook.example.org:8000; /tasks/ and the key of the config are "
    "put behind it.",
)
@click.option(
    "--callback-url",
    metavar="URL|-",
    help="The callback URL in full, key and all, instead of --public-url. - reads it from standard input, where other "
    "users of this machine do not see it.",
)
@click.option(
    "--key-name",
    metavar="NAME",
    help='With --public-url: the key of that name ("camiohookd key list") instead of the first.',
)
@query_option
@click.option("--type", "hook_type", type=click.Choice(HOOK_TYPES), default=HOOK_TYPES[0], show_default=True)
@click.option("--no-check", is_flag=True, help="Send the query unchecked: Camio may know more than this program.")
@token_option
@api_option
@config_option
def create(
    public_url: str | None,
    callback_url: str | None,
    key_name: str | None,
    query_text: str,
    hook_type: str,
    no_check: bool,
    token_file: str | None,
    base_url: str,
    config_file: Path | None,
) -> None:
    """Register a hook: Camio will post the events that pass the query to this box."""
    if (public_url is None) == (callback_url is None):
        raise click.UsageError("give either --public-url or --callback-url")
    if callback_url is not None and key_name is not None:
        raise click.UsageError("--key-name goes with --public-url: --callback-url holds a key already")
    if callback_url == token_file == STANDARD_INPUT:
        raise click.UsageError("--callback-url and --token-file cannot both be read from standard input")
    if not no_check:
        with _query_errors(query_text):
            query.check(query_text)
    if public_url is not None:
        url = _public_callback(public_url, _key_to_register(key_name, config_file))
    else:
        url = _whole_callback(callback_url or "")
    if split_url(url)[0].scheme != "https":
        click.echo("Warning: this URL is not https: its key and the pictures travel in clear.", err=True)
    token = _token(token_file)
    mask = masker([token, *_keys_of(url), *_known_keys(config_file)])
    _show(mask, base_url, token, lambda api: api.create(url, hook_type, query_text))


@hooks.command("list")
@token_option
@api_option
@config_option
def list_hooks(token_file: str | None, base_url: str, config_file: Path | None) -> None:
    """List the account's hooks, as Camio answers.

    Camio's own page, https://api.camio.com, decides whether and how Camio offers this; its answer is shown as it
    comes, but for keys.
    """
    token = _token(token_file)
    _show(masker([token, *_known_keys(config_file)]), base_url, token, lambda api: api.list())


@hooks.command()
@click.argument("hook_id", metavar="ID")
@token_option
@api_option
@config_option
def delete(hook_id: str, token_file: str | None, base_url: str, config_file: Path | None) -> None:
    """Remove the hook ID, as `create` and `list` show it.

    Camio's own page, https://api.camio.com, decides whether and how Camio offers this; its answer is shown as it
    comes, but for keys.
    """
    token = _token(token_file)
    _show(masker([token, *_known_keys(config_file)]), base_url, token, lambda api: api.delete(hook_id))


@hooks.command("test")
@query_option
@click.option("--camera", default="", help="The event's camera.")
@click.option("--labels", multiple=True, metavar="LABEL,...", help="Labels already on the event; can be repeated.")
@click.option("--date", metavar="ISO", help="When the event began, such as 2026-01-02T03:04:05.  [default: now]")
def try_query(query_text: str, camera: str, labels: Sequence[str], date: str | None) -> None:
    """Evaluate a query here, for an event of your making; nothing is sent.

    Exit status, as grep's: 0 if the event matches, 1 if it does not, 2 if the query or an option is wrong.
    """
    began = _date(date)
    words = [word.strip() for given in labels for word in given.split(",") if word.strip()]
    with _query_errors(query_text):
        matches = query.evaluate(query_text, camera=camera, labels=words, date=began)
    click.echo("matches" if matches else "does not match")
    sys.exit(0 if matches else 1)


def _date(given: str | None) -> datetime:
    if given is None:
        return datetime.now()
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        raise click.BadParameter("it is not a date such as 2026-01-02T03:04:05", param_hint="'--date'") from None


@contextmanager
def _query_errors(text: str) -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        raise _WrongQuery(text, error) from None


def _public_callback(public_url: str, key: str) -> str:
    _, path = _split(public_url, "--public-url")
    if re.search(r"[?#]|/tasks(/|$)", path):
        raise click.BadParameter("it must end before /tasks/, without ? and #", param_hint="'--public-url'")
    return f"{public_url.rstrip('/')}/tasks/{key}"


def _whole_callback(given: str) -> str:
    url = _standard_input() if given == STANDARD_INPUT else given
    _split(url, "--callback-url")
    return url


def _split(url: str, option: str) -> tuple[object, str]:
    try:
        return split_url(url)
    except MalformedUrl as error:
        raise click.BadParameter(str(error), param_hint=f"'{option}'") from None


def _keys_of(callback_url: str) -> list[str]:
    """The secret in a callback URL: what is behind /tasks/, or, without that, all that is behind the host."""
    _, path = split_url(callback_url)
    _, tasks, behind = path.partition("/tasks/")
    key = re.split(r"[?#]", behind)[0] if tasks else path.lstrip("/")
    return [key, unquote(key)]


def _key_to_register(name: str | None, config_file: Path | None) -> str:
    keys = _configured_keys(config_file)
    if name is None:
        return next(iter(keys.values()))
    if name not in keys:
        raise click.BadParameter(
            f"there is no key of that name; there are: {', '.join(keys)}", param_hint="'--key-name'"
        )
    return keys[name]


def _configured_keys(config_file: Path | None) -> dict[str, str]:
    from camiohookd.config.load import load_with_keys

    return load_with_keys(config_file, os.environ)[1]


def _known_keys(config_file: Path | None) -> list[str]:
    try:
        return list(_configured_keys(config_file).values())
    except ConfigError:
        # Not asked for and not needed, only a help to masking: the box may be registered from another machine.
        if config_file is not None:
            raise
        return []


def _token(token_file: str | None) -> str:
    if token_file == STANDARD_INPUT:
        return _standard_input()
    if token_file is not None:
        return _file(token_file)
    if token := os.environ.get(TOKEN_VARIABLE, "").strip():
        return token
    if sys.stdin.isatty():
        return str(click.prompt("Camio's OAuth token", hide_input=True, err=True)).strip()
    raise click.UsageError(f"there is no token: set {TOKEN_VARIABLE}, or give --token-file")


def _file(path: str) -> str:
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read(MAX_SECRET_INPUT).strip()
    except OSError as error:
        raise click.FileError(path, error.strerror) from None


def _standard_input() -> str:
    return sys.stdin.buffer.read(MAX_SECRET_INPUT).decode("utf-8", "replace").strip()


def _show(
    mask: Callable[[str], str],
    base_url: str,
    token: str,
    request: "Callable[[hooks_api.HooksApi], hooks_api.ApiResponse]",
) -> None:
    from camiohookd.camio import hooks_api

    try:
        answer = request(hooks_api.HooksApi(base_url, token))
    except CamioRequestError as error:
        raise click.UsageError(mask(str(error))) from None
    except CamioRefused as error:
        raise CamioRefused(mask(str(error)), error.status, mask(error.answer)) from None
    except CamioUnreachable as error:
        raise CamioUnreachable(mask(str(error))) from None
    click.echo(mask(answer.text) or f"Camio answered {answer.status}, and nothing else.")
