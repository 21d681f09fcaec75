"""Ask the questions of `camiohookd setup`, each with its reason and the present answer as the default.

An unusable answer is refused with the reason, and the question is asked again. Questions go to stderr.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

from camiohookd.cli.setup.answers import DETAILS, WAYS, Answers
from camiohookd.config.detail import Detail
from camiohookd.errors import CamiohookdError, MalformedUrl, ModelError, QueryError
from camiohookd.system import manual

ALL_EVENTS = "1==1"


def ask(answers: Answers, given: Mapping[str, object], models: Sequence[str], *, own_code: bool) -> None:
    """Ask for everything that the options in `given` do not say, and change `answers`.

    `own_code` says whether the owner's own code labels: it gets whole pictures, so that the detail has no effect.
    """
    if "way" not in given:
        _ask_way(answers)
    if answers.way == "port" and "tls_cert" not in given:
        _ask_certificate(answers)
    if answers.way == "proxy" and "proxy" not in given:
        _ask_proxy(answers)
    if "public_url" not in given:
        _ask_public_url(answers)
    if "query" not in given:
        _ask_query(answers)
    if "model" not in given and len(models) > 1:
        _ask_model(answers, models)
    if "detail" not in given and not own_code:
        _ask_detail(answers)
    if "page" not in given:
        _ask_page(answers)


def _ask_way(answers: Answers) -> None:
    ways_in = manual.page("internet.md")
    _title("Way in", f"How does Camio reach this box from the internet? {ways_in} describes each way.")
    _list(WAYS)
    way = _prompt("Way in", answers.way or "tunnel", _one_of(WAYS))
    if way != answers.way:
        answers.use_way(way)


def _ask_certificate(answers: Answers) -> None:
    _title("Certificate", "Camio accepts only https with a certificate of a public authority, such as Let's Encrypt.")
    while True:
        answers.tls_cert = _prompt("File of the certificate and its chain", answers.tls_cert, _file)
        answers.tls_key = _prompt("File of its private key", answers.tls_key or answers.tls_cert, _file)
        if problem := certificate_problem(answers):
            click.echo(f"Error: {problem}", err=True)
        else:
            break
    _title("Port", "The router forwards a port to this address of the box; 0.0.0.0 is every interface.")
    answers.listen = _prompt("Address to listen on", answers.listen, address)


def _ask_proxy(answers: Answers) -> None:
    _title("Proxy", "The service trusts what it says about the sender; 127.0.0.1 is a proxy on this box.")
    default = answers.trusted_proxies[0] if answers.trusted_proxies else "127.0.0.1"
    answers.let_proxy_in(_prompt("Address of the proxy", default, network))


def _ask_public_url(answers: Answers) -> None:
    _title(
        "Public address",
        "Camio posts events to this address. Leave it empty if you do not know it yet.",
    )
    answers.public_url = _prompt("Public URL, such as https://hook.example.org", answers.public_url, public_url)


def _ask_query(answers: Answers) -> None:
    _title(
        "Cameras", f"Camio posts the events that match, such as camera == 'front'; {ALL_EVENTS} matches every event."
    )
    answers.query = _prompt("Query", answers.query or ALL_EVENTS, query)


def _ask_model(answers: Answers, models: Sequence[str]) -> None:
    _title("Model", f"The neural network that labels the pictures. Installed: {', '.join(models)}.")
    answers.model = _prompt("Model", answers.model, model)


def _ask_detail(answers: Answers) -> None:
    _title("Detail", "How closely is each picture looked at? Closer finds people who are far away, and takes longer.")
    _list(DETAILS)
    answers.detail = cast(Detail, _prompt("Detail", answers.detail, _one_of(DETAILS)))


def _ask_page(answers: Answers) -> None:
    _title("Status page", "It can always be opened on this box. Other devices, such as a phone, need a password.")
    page = click.confirm("May other devices in your network open it?", default=answers.page, err=True)
    if not page or answers.page:
        answers.page = page
        return
    open_page(answers)
    if not answers.page_cert:
        answers.insecure = click.confirm(
            "There is no certificate, so everyone in your network could read the password and the pictures. "
            "Open it anyway?",
            default=False,
            err=True,
        )
        if not answers.insecure:
            answers.page = False
            where = manual.page("status-page.md")
            click.echo(f"Only this box can open it. {where} says how to get a certificate.", err=True)


def open_page(answers: Answers) -> None:
    """Open the status page to other machines, with the listener's certificate if it has one."""
    answers.page = True
    if not answers.page_cert:
        answers.page_cert, answers.page_key = answers.tls_cert, answers.tls_key


# Conversions of answers. Each raises click.BadParameter for an unusable answer.


def public_url(text: str) -> str:
    """Return a public URL that Camio can reach; "" stays ""."""
    from camiohookd.cli.hooks.callback_url import why_unreachable
    from camiohookd.config.values import PublicUrl

    try:
        url = str(PublicUrl(text))
        reason = why_unreachable(url) if url else None
    except (ValueError, MalformedUrl) as error:
        raise click.BadParameter(f"it cannot be used: {error}; expected {PublicUrl.expected}") from None
    if reason:
        raise click.BadParameter(f"{reason}; give an https address that the internet can reach")
    return url


def query(text: str) -> str:
    """Return a query that Camio accepts."""
    from camiohookd.camio import query as queries
    from camiohookd.camio.query_caret import caret

    try:
        queries.check(text)
    except QueryError as error:
        raise click.BadParameter(f"{error}\n{caret(text, error)}") from None
    return text


def model(text: str) -> str:
    """Return the name of an installed model, or the path of one."""
    from camiohookd.labelers.model import find, load_description

    try:
        load_description(find(text))
    except ModelError as error:
        raise click.BadParameter(str(error)) from None
    return text


def certificate_problem(answers: Answers) -> str | None:
    """Return why the certificate of `answers` cannot be used; None if it can."""
    from camiohookd.web.server import tls

    try:
        tls.load(answers.tls_cert, "" if answers.tls_key == answers.tls_cert else answers.tls_key)
    except CamiohookdError as error:
        return str(error)
    if answers.tls_key == answers.tls_cert:
        answers.tls_key = ""
    return None


def address(text: str) -> str:
    """Return an address to listen on."""
    from camiohookd.config.values import Address

    return _converted(text, Address)


def network(text: str) -> str:
    """Return the address of a proxy, or of a network of them."""
    from camiohookd.config.values import Network

    _converted(text, Network)
    return text.strip()


def _converted(text: str, kind: Any) -> str:
    try:
        return str(kind(text.strip()))
    except ValueError:
        raise click.BadParameter(f"expected {kind.expected}") from None


def _file(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not path.is_file():
        raise click.BadParameter(f"there is no file {path}")
    if not os.access(path, os.R_OK):
        raise click.BadParameter(f"{path} cannot be read")
    return str(path)


def _one_of(choices: Mapping[Any, str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise click.BadParameter(f"choose one of {', '.join(choices)}")
        return text

    return check


def _title(name: str, why: str) -> None:
    click.echo(f"\n{click.style(name, bold=True)}\n  {why}", err=True)


def _list(choices: Mapping[Any, str]) -> None:
    for choice, about in choices.items():
        click.echo(f"  {choice:<8}{about}", err=True)


def _prompt(text: str, default: str, convert: Callable[[str], str]) -> str:
    answer: str = click.prompt(
        text, default=default, show_default=bool(default), value_proc=lambda given: convert(given.strip()), err=True
    )
    return answer
