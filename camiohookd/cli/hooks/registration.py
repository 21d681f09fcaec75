"""Register a hook with Camio: refuse what Camio could not use, send the rest, and show its answer with secrets masked.

key, URL, query, type ──▶ `register` ──▶ hooks_api.HooksApi ──▶ Camio's answer
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.hooks import callback_url as callback
from camiohookd.cli.hooks.camio_requests import camio_api, show_answer
from camiohookd.cli.masking import masker
from camiohookd.errors import CamiohookdError, ConfigError
from camiohookd.system import manual

if TYPE_CHECKING:
    from camiohookd.camio.hooks_api import RegisteredHook

HOOK_TYPES = ("query_match", "query_match_ad_hoc", "label_hit")


def register(
    url: str,
    query_text: str,
    hook_type: str,
    token: str,
    base_url: str,
    config_file: Path | None,
    *,
    as_json: bool = False,
    anyway: bool = False,
) -> None:
    """Have Camio post the events that match `query_text` to `url`, and print its answer. Raises CamiohookdError."""
    mask = masker([token, *callback.keys_of(url), *known_keys(config_file)])
    with camio_api(base_url, token, mask) as api:
        if not anyway:
            _refuse_second(api.find(url), hook_type, query_text, mask)
        response = api.create(url, hook_type, query_text)
    show_answer(
        response, mask, as_json, lambda hook_id: f"Camio registered the hook {hook_id}: it posts to {mask(url)} the "
        f"events that match the query {query_text}"
    )  # fmt: skip


def refuse_unreachable(url: str, anyway: bool) -> None:
    """Raise CamiohookdError for a URL that Camio cannot reach; with `anyway`, only warn."""
    reason = callback.why_unreachable(url)
    if reason is None:
        return
    if not anyway:
        raise CamiohookdError(
            f"nothing was registered: {reason}. Give the public https address of this box "
            f"({manual.page('internet.md')} describes the ways to get one), or --anyway to register this one"
        )
    click.echo(f"Warning: {reason}", err=True)


def _refuse_second(
    existing: "Sequence[RegisteredHook]", hook_type: str, query_text: str, mask: Callable[[str], str]
) -> None:
    """Refuse a hook that Camio has already; tell of those with the same URL that differ in the query or the type."""
    for hook in existing:
        shown = mask(f"the hook {hook.id}")
        if (hook.type, hook.parsed_query) == (hook_type, query_text):
            raise CamiohookdError(
                f"nothing was registered: {shown} has this URL, type and query already; --anyway registers another"
            )
        click.echo(mask(f"Note: {shown} posts to this URL too, with the query {hook.parsed_query}"), err=True)


def key_to_register(name: str | None, config_file: Path | None) -> str:
    """Return the key of that name, by default the first one. Raises click.BadParameter, ConfigError."""
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


def known_keys(config_file: Path | None) -> list[str]:
    """Return the configured keys, to mask them; none where the box is registered from another machine."""
    try:
        return list(_configured_keys(config_file).values())
    except ConfigError:
        if config_file is not None:
            raise
        return []
