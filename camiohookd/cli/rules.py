"""`camiohookd rules`: add rules to the settings, for example those of the status page's zone editor.

a file, or standard input ─▶ `rule_file.add` ─▶ the settings file, and what to do next
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.settings import RELOAD, config_option
from camiohookd.errors import CamiohookdError, SetupError

if TYPE_CHECKING:
    from camiohookd.config.load import Config

MAX_BYTES = 1_000_000


@click.group()
def rules() -> None:
    """Add rules to the settings.

    \b
    Example:
      sudo camiohookd rules add front.toml
    """


@rules.command()
@click.argument("file", type=InputFile(dash=True))
@click.option("--replace", is_flag=True, help="Replace a rule for the same camera.")
@config_option
def add(file: Path, replace: bool, config_file: Path | None) -> None:
    """Add the rules in FILE ("-": standard input) at the end of the settings file.

    FILE has one or more [[rule]] tables, as the zone editor of the status page shows them. The settings are checked
    before they are written. Comments and everything else in the file are kept.

    \b
    Examples:
      sudo camiohookd rules add - <<'END'
      [[rule]]
      camera = "front"
      min_probability = 0.6
      END
      sudo camiohookd rules add --replace front.toml
    """
    from camiohookd.config import paths, rule_file

    source, text = _read(file)
    path = config_file or paths.config_file(os.environ)
    added, settings = rule_file.add(path, text, source, replace=replace)
    for rule in added:
        click.echo(f'{path}: added the rule for camera = "{rule.camera}"')
    for problem in _problems(settings):
        click.echo(f"warning: {problem}", err=True)
    click.echo(RELOAD, err=True)


def _problems(settings: "Config") -> list[str]:
    from camiohookd import rules as all_rules
    from camiohookd.labelers.open import known_labels

    try:
        known = known_labels(settings.labelers)
    except SetupError:  # the rules are valid; "camiohookd check" reports the model
        known = None
    return all_rules.problems(settings.rule, known)


def _read(file: Path) -> tuple[str, str]:
    """Return a name for the text in errors, and the text."""
    is_stdin = str(file) == "-"
    source = "standard input" if is_stdin else str(file)
    try:
        data = sys.stdin.buffer.read(MAX_BYTES) if is_stdin else file.read_bytes()[:MAX_BYTES]
        return source, data.decode("utf-8-sig")
    except OSError as error:
        raise CamiohookdError(f"{source}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CamiohookdError(f"{source}: not UTF-8 text; save it as UTF-8") from None
