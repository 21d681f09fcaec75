"""Requests to Camio's API from the command line: errors are masked, and answers are printed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from camiohookd.errors import CamioRefused, CamioRequestError, CamioUnreachable

if TYPE_CHECKING:
    from camiohookd.camio.hooks_api import ApiResponse, HooksApi


@contextmanager
def camio_api(base_url: str, token: str, mask: Callable[[str], str]) -> "Iterator[HooksApi]":
    """Give access to Camio's API; every error that leaves the ``with`` is masked."""
    from camiohookd.camio.hooks_api import HooksApi

    try:
        yield HooksApi(base_url, token)
    except CamioRequestError as error:
        raise click.UsageError(mask(str(error))) from None
    except CamioRefused as error:
        raise CamioRefused(mask(str(error)), error.status, mask(error.answer)) from None
    except CamioUnreachable as error:
        raise CamioUnreachable(mask(str(error))) from None


def show_answer(
    response: "ApiResponse", mask: Callable[[str], str], as_json: bool, sentence: Callable[[str], str]
) -> None:
    """Print Camio's answer, or `sentence` of the hook's id instead where the answer says no more than that."""
    answer = mask(response.text)
    if as_json:
        click.echo(answer)
    elif response.is_json or not answer.strip():
        click.echo(sentence(mask(response.hook_id or "(Camio named no id)")))
    else:
        click.echo(f"Camio answered {response.status}, but not in JSON. Its answer:\n{answer}")
