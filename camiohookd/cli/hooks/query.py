"""The queries of hooks: check one as Camio would, show what is wrong with it, and try it on an event."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import IO, Any

import click

from camiohookd.camio import query
from camiohookd.camio.query_caret import caret
from camiohookd.errors import QueryError

query_option = click.option(
    "--query",
    "query_text",
    required=True,
    metavar="QUERY",
    help="Which events match, such as \"camera == 'front'\"; 1==1 matches every event.",
)


class _WrongQuery(click.ClickException):
    """A query that Camio would refuse. It is shown without the usage, which does not explain queries."""

    exit_code = 2

    def __init__(self, text: str, error: QueryError) -> None:
        super().__init__(f"{caret(text, error)}\nError: --query: {error}")

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(self.message, file=file, err=True)


def check_query(text: str) -> None:
    """Check a query as Camio does. Raises click.ClickException, which shows the place of the error."""
    with _query_errors(text):
        query.check(text)


@click.command("test")
@query_option
@click.option("--camera", default="", metavar="NAME", help="The event's camera.")
@click.option("--labels", multiple=True, metavar="LABEL,...", help="Labels already on the event; can be repeated.")
@click.option(
    "--date", metavar="DATE", help="When the event began, in ISO 8601, such as 2026-01-02T03:04:05.  [default: now]"
)
def try_query(query_text: str, camera: str, labels: Sequence[str], date: str | None) -> None:
    """Say whether a query matches an event that you describe. Nothing is sent.

    Exit status, as grep's: 0 if the event matches, 1 if it does not, 2 if the query or an option is wrong.

    \b
    Example:
      camiohookd hooks test --query "camera == 'front' and date.hour < 6" --camera front --date 2026-01-02T03:04:05
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
        raise click.BadParameter("expected a date such as 2026-01-02T03:04:05", param_hint="'--date'") from None


@contextmanager
def _query_errors(text: str) -> Iterator[None]:
    try:
        yield
    except QueryError as error:
        raise _WrongQuery(text, error) from None
