"""`camiohookd setup`: set up the box after the installation.

present settings ─▶ questions, or options ─▶ the file, edited in place ─▶ key, password ─▶ reload or restart
                                                   doctor ◀──────────────────────────────────────┘
                                                   register the hook ─▶ what to do next
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.settings import api_option, config_option, judges_the_service
from camiohookd.config.detail import Detail
from camiohookd.errors import CamiohookdError
from camiohookd.system import manual

if TYPE_CHECKING:
    from camiohookd.cli.setup.answers import Answers
    from camiohookd.config.load import Config
    from camiohookd.config.settings_editor import SettingChanges

WAYS = ("port", "proxy", "ssh", "tunnel")


@click.command()
@click.option("--way", type=click.Choice(WAYS), help=f"How Camio reaches this box; see {manual.page('internet.md')}.")
@click.option(
    "--tls-cert",
    type=InputFile(),
    metavar="FILE",
    help="With --way port: the certificate and its chain, PEM.",
)
@click.option(
    "--tls-key",
    type=InputFile(),
    metavar="FILE",
    help="Its private key, if --tls-cert does not contain it.",
)
@click.option("--listen", metavar="HOST:PORT", help="Where to receive events.  [default: depends on --way]")
@click.option("--proxy", metavar="ADDRESS", help="With --way proxy: its address; 127.0.0.1 on this box.")
@click.option("--public-url", metavar="URL", help="The address under which Camio reaches this box.")
@click.option("--query", metavar="QUERY", help="Which events Camio posts; 1==1 matches every event.")
@click.option("--model", metavar="NAME", help="The name of an installed model, or the path of its folder.")
@click.option(
    "--detail", type=click.Choice(get_args(Detail)), help=f"How closely to look; see {manual.page('detail.md')}."
)
@click.option("--status-page/--no-status-page", "page", default=None, help="Open the status page to other devices.")
@click.option("--insecure-page", is_flag=True, help="With --status-page: by plain http, without a certificate.")
@click.option("--non-interactive", is_flag=True, help="Ask nothing. Settings without an option do not change.")
@click.option("--yes", is_flag=True, help="Change lines that are already set, without asking.")
@click.option("--token-file", metavar="PATH|-", help="Register the hook with the OAuth token in this file.")
@click.option("--no-doctor", is_flag=True, help="Do not run the doctor at the end.")
@api_option
@config_option
def setup(
    config_file: Path | None,
    non_interactive: bool,
    yes: bool,
    token_file: str | None,
    no_doctor: bool,
    base_url: str,
    **options: Any,
) -> int:
    """Set up this box: ask for what is needed, write the settings, apply them, and check the service.

    Each question shows the present setting; Enter keeps it. Only lines of changed settings are written. A line that is
    already set is shown before it changes. If there is no key, one is created. You can run this again at any time.

    With --token-file, or the token in CAMIO_OAUTH_TOKEN, the hook is registered with Camio.

    Exit status: 0 if the service is set up and no check failed, otherwise 1.

    \b
    Examples:
      sudo camiohookd setup
      sudo camiohookd setup --non-interactive --way tunnel --public-url https://box.example.org --query 1==1
      sudo camiohookd setup --way port --tls-cert /etc/camiohookd/fullchain.pem --tls-key /etc/camiohookd/privkey.pem
    """
    from camiohookd.cli.setup import apply, questions
    from camiohookd.cli.setup.answers import changes, present
    from camiohookd.cli.setup.ending import Ending
    from camiohookd.config import load, paths

    file = config_file or paths.config_file(os.environ)
    _check_terminal(ask=not non_interactive)
    token = _token(token_file)
    apply.check_writable(file)
    config = load.load_config(file if file.exists() else None, os.environ)
    before, after = present(config), present(config)
    given = _given(options)
    _take_options(after, given, ask=not non_interactive)
    if not non_interactive:
        click.echo(f"This sets up camiohookd in {file}. Enter keeps the value in brackets; Ctrl-C changes nothing.")
        questions.ask(after, given, _models(), own_code=config.labeler.kind in ("python", "command"))
    changed = changes(before, after, config)
    text = apply.edited(file, changed)
    if not _confirmed(file, changed, ask=not non_interactive, yes=yes):
        return 1
    new = apply.checked(text)
    password = _password(new, file, ask=not non_interactive)
    is_service = judges_the_service(config_file)
    apply.write_secrets(file, new, password)
    if is_service:
        apply.try_as_the_service(file, text)
    apply.write(file, text)
    click.echo(apply.apply(config, new, is_service=is_service))
    ending = Ending(config_file, new, base_url, token, ask=not non_interactive)
    return ending.finish(doctor=not no_doctor)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given; of the flags, only ``--no-status-page`` can be given as False."""
    return {
        name: value
        for name, value in options.items()
        if value not in (None, False) or (name == "page" and value is False)
    }


def _check_terminal(*, ask: bool) -> None:
    if ask and not sys.stdin.isatty():
        raise click.UsageError("standard input is not a terminal: give the answers as options, with --non-interactive")


def _token(token_file: str | None) -> str | None:
    """Return the OAuth token if one was given; read it before any question. Raises click.ClickException."""
    from camiohookd.cli.secret_input import TOKEN_VARIABLE, read_token

    has_token = token_file is not None or bool(os.environ.get(TOKEN_VARIABLE, "").strip())
    return read_token(token_file) if has_token else None


def _take_options(answers: "Answers", given: Mapping[str, Any], *, ask: bool) -> None:
    """Change `answers` to what the options say. Raises click.UsageError."""
    from camiohookd.cli.setup import questions

    if "way" in given and given["way"] != answers.way:
        answers.use_way(given["way"])
    if "tls_key" in given and "tls_cert" not in given:
        raise click.UsageError("--tls-key goes with --tls-cert")
    if "tls_cert" in given:
        answers.tls_cert = str(given["tls_cert"].absolute())
        answers.tls_key = str(given.get("tls_key", given["tls_cert"]).absolute())
        if problem := questions.certificate_problem(answers):
            raise click.UsageError(problem)
    if answers.way == "port" and not answers.tls_cert and not ask:
        raise click.UsageError("--way port needs a certificate: --tls-cert")
    if "proxy" in given:
        answers.let_proxy_in(questions.network(given["proxy"]))
    if "listen" in given:
        answers.listen = questions.address(given["listen"])
    for name in ("public_url", "query", "model"):
        if name in given:
            setattr(answers, name, getattr(questions, name)(given[name]))
    answers.detail = given.get("detail", answers.detail)
    if given.get("page"):
        questions.open_page(answers)
        answers.insecure = answers.insecure or "insecure_page" in given
    elif "page" in given:
        answers.page = False


def _models() -> list[str]:
    from camiohookd.labelers.library import installed

    return list(dict.fromkeys(each.folder.name for each in installed() if each.problem is None))


def _confirmed(file: Path, changed: "SettingChanges", *, ask: bool, yes: bool) -> bool:
    """Show the changes, and ask for consent. Raises CamiohookdError if that is needed and nobody can be asked."""
    from camiohookd.cli.setup.apply import present_lines
    from camiohookd.config.settings_editor import as_line
    from camiohookd.config.tables import variable

    if not changed:
        click.echo(f"{file} does not change.")
        return True
    old = present_lines(file, changed)
    click.echo(f"\nThese lines of {file} change:")
    for (section, key), value in changed.items():
        was = f"    (was: {old[section, key]})" if (section, key) in old else ""
        click.echo(f"  [{section}] {as_line(key, value)}{was}")
        if (name := variable(section, key)) in os.environ:
            click.echo(f"  warning: {name} in the environment overrides this line")
    if yes:
        return True
    if ask:
        return click.confirm("Write them?", default=True, err=True)
    if old:
        names = ", ".join(f"{section}.{key}" for section, key in old)
        raise CamiohookdError(f"nothing was written: {names} is already set; use --yes to change it")
    return True


def _password(new: "Config", file: Path, *, ask: bool) -> str | None:
    """Return a new password if the status page needs one and has none, otherwise None. Raises CamiohookdError."""
    from camiohookd.cli.setup.apply import has_password
    from camiohookd.config import admin_password
    from camiohookd.net.addresses import is_loopback

    if is_loopback(new.admin.listen.host) or has_password(file):
        return None
    if not ask:
        raise CamiohookdError("nothing was written: the status page needs a password: sudo camiohookd admin password")
    click.echo(f"\nThe status page needs a password of {admin_password.SHORTEST} or more characters.", err=True)
    while True:
        chosen = str(click.prompt("Password", hide_input=True, confirmation_prompt="Again", err=True))
        try:
            admin_password.check_length(chosen)
        except CamiohookdError as error:
            click.echo(f"Error: {error}", err=True)
        else:
            return chosen
