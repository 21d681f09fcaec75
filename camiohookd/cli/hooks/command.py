"""The commands that tell Camio about this box: they send a callback URL and a query, and show Camio's answer.

    options ──▶ query ──▶ callback_url, with the key from the config ──▶ the token ──▶ registration, HooksApi
                                                                 masking ◀── Camio's answer ◀──┘

The key and the token are secrets. Neither is an argument (`--callback-url` takes ``-`` for that reason), and both are
masked in everything that is shown.
"""

import os
from pathlib import Path

import click

from camiohookd.cli.hooks import callback_url as callback
from camiohookd.cli.hooks.camio_requests import camio_api, show_answer
from camiohookd.cli.hooks.query import check_query, try_query
from camiohookd.cli.hooks.registration import HOOK_TYPES, key_to_register, known_keys, refuse_unreachable, register
from camiohookd.cli.masking import masker
from camiohookd.cli.secret_input import STANDARD_INPUT, TOKEN_VARIABLE, read_token
from camiohookd.cli.settings import api_option, config_option

WHERE_TOKENS_ARE = "You find your OAuth token at https://camio.com/settings/integrations#api."

token_option = click.option(
    "--token-file",
    metavar="PATH|-",
    help=f"Read the OAuth token from a file, or with - from standard input, instead of from {TOKEN_VARIABLE}.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print Camio's answer itself, with keys masked.")


@click.group()
def hooks() -> None:
    """Register this box with Camio: create, list and delete hooks, and try their queries.

    You find your OAuth token at https://camio.com/settings/integrations#api. It is read from the environment variable
    CAMIO_OAUTH_TOKEN, from --token-file, or asked for on a terminal.

    \b
    Examples:
      camiohookd hooks test --query "camera == 'front'" --camera front
      sudo camiohookd hooks create --public-url https://hook.example.org --query "camera == 'front'"
      sudo camiohookd hooks list
    """


@hooks.command()
@click.option(
    "--public-url",
    metavar="URL",
    help="The address under which Camio reaches this box, such as https://hook.example.org:8000. The command adds "
    "/tasks/ and the key from the configuration.  [default: public_url of the settings]",
)
@click.option(
    "--callback-url",
    metavar="URL|-",
    help="The whole callback URL, with its key, instead of --public-url. - reads it from standard input, so that "
    "other users of this machine do not see it.",
)
@click.option(
    "--key-name",
    metavar="NAME",
    help='With --public-url: use the key of that name ("camiohookd key list") instead of the first key.',
)
@click.option(
    "--query",
    "query_text",
    metavar="QUERY",
    help="Which events match, such as \"camera == 'front'\"; 1==1 matches every event.  [default: query of the "
    "settings]",
)
@click.option(
    "--type",
    "hook_type",
    type=click.Choice(HOOK_TYPES),
    default=HOOK_TYPES[0],
    show_default=True,
    help="Camio's type of hook.",
)
@click.option("--no-check", is_flag=True, help="Send the query without checking it first.")
@click.option(
    "--anyway",
    is_flag=True,
    help="Register a URL that Camio cannot reach from the internet, or a hook that exists already.",
)
@json_option
@token_option
@api_option
@config_option
def create(
    public_url: str | None,
    callback_url: str | None,
    key_name: str | None,
    query_text: str | None,
    hook_type: str,
    no_check: bool,
    anyway: bool,
    as_json: bool,
    token_file: str | None,
    base_url: str,
    config_file: Path | None,
) -> None:
    """Register a hook: Camio will post the events that match the query to this box.

    Without options it takes the address and the query that "camiohookd setup" has written into the settings.

    \b
    Examples:
      sudo camiohookd hooks create
      sudo camiohookd hooks create --public-url https://hook.example.org --query "camera == 'front'"
      sudo camiohookd hooks create --public-url https://hook.example.org --query 1==1 --key-name new
    """
    if public_url is not None and callback_url is not None:
        raise click.UsageError("give either --public-url or --callback-url")
    if public_url is None and callback_url is None:
        public_url = _setting("public_url", "--public-url", config_file)
    query_text = query_text or _setting("query", "--query", config_file)
    if callback_url is not None and key_name is not None:
        raise click.UsageError("--key-name goes with --public-url; --callback-url already holds a key")
    if callback_url == token_file == STANDARD_INPUT:
        raise click.UsageError("--callback-url and --token-file cannot both be read from standard input")
    if not no_check:
        check_query(query_text)
    if public_url is not None:
        url = callback.from_public_url(public_url, key_to_register(key_name, config_file))
    else:
        url = callback.from_whole_url(callback_url or "")
    refuse_unreachable(url, anyway)
    register(url, query_text, hook_type, read_token(token_file), base_url, config_file, as_json=as_json, anyway=anyway)


@hooks.command("list")
@token_option
@api_option
@config_option
def list_hooks(token_file: str | None, base_url: str, config_file: Path | None) -> None:
    """List the account's hooks: print Camio's answer, with keys masked.

    https://api.camio.com documents whether and how Camio offers this.

    \b
    Example:
      sudo camiohookd hooks list
    """
    token = read_token(token_file)
    mask = masker([token, *known_keys(config_file)])
    with camio_api(base_url, token, mask) as api:
        response = api.list()
    click.echo(mask(response.text) or f"Camio answered {response.status}, and nothing else.")


@hooks.command()
@click.argument("hook_id", metavar="ID")
@json_option
@token_option
@api_option
@config_option
def delete(hook_id: str, as_json: bool, token_file: str | None, base_url: str, config_file: Path | None) -> None:
    """Delete the hook ID, as `create` and `list` show it.

    https://api.camio.com documents whether and how Camio offers this.

    \b
    Example:
      sudo camiohookd hooks delete 5d1f
    """
    token = read_token(token_file)
    mask = masker([token, *known_keys(config_file)])
    with camio_api(base_url, token, mask) as api:
        response = api.delete(hook_id)
    show_answer(response, mask, as_json, lambda _: f"Camio deleted the hook {mask(hook_id)}")


def _setting(name: str, option: str, config_file: Path | None) -> str:
    """Return [hook] `name` of the settings. Raises click.UsageError if it is not set."""
    from camiohookd.config.load import load_config

    value = str(getattr(load_config(config_file, os.environ).hook, name))
    if not value:
        raise click.UsageError(f"give {option}, or set {name} under [hook]: sudo camiohookd setup")
    return value


hooks.add_command(try_query)
