"""End `camiohookd setup`: run the doctor, register the hook, and say what to do next."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.errors import CamiohookdError
from camiohookd.system import manual

if TYPE_CHECKING:
    from camiohookd.config.load import Config


@dataclass(frozen=True, slots=True)
class Ending:
    """`settings` are those in `config_file` (None: the usual one). `ask` says whether somebody can be asked."""

    config_file: Path | None
    settings: "Config"
    base_url: str
    token: str | None
    ask: bool

    def finish(self, *, doctor: bool) -> int:
        """Run the doctor, register the hook, and say what to do next; return the exit status."""
        failed = doctor and self._is_ill()
        registered = self._register(failed=failed)
        click.echo("\nNext:")
        for number, step in enumerate(self._next_steps(failed=failed, registered=registered), start=1):
            click.echo(f"  {number}. {step}")
        return 1 if failed or registered is False else 0

    def _is_ill(self) -> bool:
        from camiohookd.cli.doctor.command import show_examination

        click.echo()
        return "failed" in show_examination(self.config_file, api=self.base_url)

    def _register(self, *, failed: bool) -> bool | None:
        """Register the hook if there is a token. Return whether that worked; None if it was not tried."""
        hook = self.settings.hook
        if not (hook.public_url and hook.query) or not (self.token or self.ask):
            return None
        if self.ask and not _wants_to_register(has_token=bool(self.token), failed=failed):
            return None
        try:
            self._create_hook()
        except CamiohookdError as error:
            click.echo(f"Not registered: {error}", err=True)
            return False
        return True

    def _create_hook(self) -> None:
        from camiohookd.cli.hooks import callback_url, registration
        from camiohookd.cli.secret_input import read_token
        from camiohookd.config.load import load_with_keys

        keys = load_with_keys(self.config_file, os.environ)[1]
        hook = self.settings.hook
        url = callback_url.from_public_url(str(hook.public_url), next(iter(keys.values())))
        token = self.token or read_token(None)
        registration.register(url, hook.query, registration.HOOK_TYPES[0], token, self.base_url, self.config_file)

    def _next_steps(self, *, failed: bool, registered: bool | None) -> list[str]:
        steps = []
        if failed:
            steps.append("fix what the doctor found, then run it again: sudo camiohookd doctor")
        if not self.settings.hook.public_url:
            ways_in = manual.page("internet.md")
            steps.append(f"get a public https address ({ways_in}), then run this again: sudo camiohookd setup")
        elif not registered:
            steps.append("register with Camio: sudo camiohookd hooks create")
        steps.append("see events arrive: sudo camiohookd status --watch")
        steps.append(f"choose which labels are sent for which camera: {manual.page('rules.md')}")
        return steps


def _wants_to_register(*, has_token: bool, failed: bool) -> bool:
    from camiohookd.cli.hooks.command import WHERE_TOKENS_ARE

    click.echo(f"\nCamio needs the address and the query. {WHERE_TOKENS_ARE}", err=True)
    question = "The doctor found problems. Register with Camio anyway?" if failed else "Register with Camio now?"
    return click.confirm(question, default=has_token and not failed, err=True)
