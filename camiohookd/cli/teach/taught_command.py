"""`camiohookd taught`: list, show, export, import and forget what was taught."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.config import paths
from camiohookd.errors import CamiohookdError
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason
from camiohookd.units import plural, size

if TYPE_CHECKING:
    from camiohookd.labelers.taught.store import Taught

_ROW = "{:<20}  {:<24}  {:<28}  {:>8}  {:>8}  {}"


@click.group(invoke_without_command=True)
@click.pass_context
def taught(context: click.Context) -> None:
    """List what was taught with "camiohookd teach", or show, export, import or forget one.

    \b
    Examples:
      sudo camiohookd taught
      sudo camiohookd taught show gate
      sudo camiohookd taught export gate gate.taught
      sudo camiohookd taught import gate.taught
      sudo camiohookd taught forget gate
    """
    if context.invoked_subcommand is not None:
        return
    from camiohookd.labelers.taught import places, store

    state = paths.state_dir(os.environ)
    try:
        found = places.files(state)
    except OSError as error:
        raise CamiohookdError(f"{state}: cannot be read: {reason(error, state)}") from error
    if not found:
        click.echo('nothing was taught; see "camiohookd teach --help"')
        return
    checksum = _checksum()
    click.echo(_ROW.format("NAME", "OF", "LABELS", "PICTURES", "ACCURACY", "STATE"))
    for path in found:
        try:
            each = store.read(path)
        except places.TaughtError as error:
            click.echo(escape(_ROW.format(path.stem, "?", "?", "?", "?", error)))
        else:
            click.echo(escape(_row(each, checksum)))


def _row(each: "Taught", checksum: str | None) -> str:
    accuracy = "?" if each.report.accuracy is None else f"{each.report.accuracy:.3f}"
    return _ROW.format(
        each.name, _of(each), ", ".join(each.labels), sum(each.report.pictures), accuracy, _state(each, checksum)
    )


def _of(each: "Taught") -> str:
    return f"{each.zone.camera}:{each.zone.name}" if each.zone else f"{each.on}"


def _state(each: "Taught", checksum: str | None) -> str:
    if checksum in (None, each.model):
        return "in use"
    if each.crops:
        return "of another model; the daemon teaches it again"
    return "of another model: teach it again"


def _checksum() -> str | None:
    """Return the checksum of the configured model; None if there is none."""
    from camiohookd.cli.settings import settings_without_keys
    from camiohookd.errors import SetupError
    from camiohookd.labelers.model import load_description
    from camiohookd.labelers.taught.open import model_of

    try:
        return load_description(model_of(settings_without_keys().labelers)).sha256
    except SetupError:
        return None


@taught.command()
@click.argument("name")
def show(name: str) -> None:
    """Show what was taught as NAME, and how well it was learned.

    \b
    Example:
      sudo camiohookd taught show gate
    """
    from camiohookd.cli.teach.teach_command import print_report

    each = _read(name)
    kind = (
        f"the state of the zone {each.zone.name} of camera {each.zone.camera}" if each.zone else f"kinds of {each.on}"
    )
    click.echo(escape(f"{each.name}: {kind}; {_state(each, _checksum())}"))
    click.echo(f"taught on {time.strftime('%Y-%m-%d %H:%M', time.localtime(each.made))}")
    if each.zone:
        click.echo(f"a state counts after {plural(each.steady, 'event')}; reported: {each.reports}")
    kept = sum(len(crop.jpeg) for crop in each.crops)
    click.echo(f"pictures kept: {f'{len(each.crops)}, {size(kept)}' if each.crops else 'none'}")
    print_report(each.report)


@taught.command()
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, readable=False))
@click.option("--no-pictures", is_flag=True, help="Leave the kept pictures out.")
def export(name: str, file: Path, no_pictures: bool) -> None:
    """Write what was taught as NAME into FILE, for another box with the same model, or as a copy.

    \b
    Example:
      sudo camiohookd taught export gate gate.taught
    """
    from camiohookd.labelers.taught import store
    from camiohookd.labelers.taught.teaching import without_crops

    each = _read(name)
    try:
        with file.open("xb") as written:
            written.write(store.encode(without_crops(each) if no_pictures else each))
    except OSError as error:
        raise CamiohookdError(f"{file}: cannot be written: {reason(error, file)}") from error
    click.echo(f"written to {file}" + (", with the kept pictures" if each.crops and not no_pictures else ""))


@taught.command("import")
@click.argument("file", type=InputFile())
def import_(file: Path) -> None:
    """Import FILE, which "camiohookd taught export" wrote. It replaces what was taught under the same name.

    \b
    Example:
      sudo camiohookd taught import gate.taught
    """
    from camiohookd.labelers.taught import store

    each = store.read(file)
    checksum = _checksum()
    if checksum not in (None, each.model) and not each.crops:
        raise CamiohookdError(
            f'{file}: "{each.name}" was taught with another model and holds no pictures: teach it again on this box'
        )
    path = store.save(paths.state_dir(os.environ), each)
    click.echo(escape(f'kept as {path}: "{each.name}", {_state(each, checksum)}'))


@taught.command()
@click.argument("name")
def forget(name: str) -> None:
    """Delete what was taught as NAME, with the kept pictures. A running daemon stops using it within seconds.

    \b
    Example:
      sudo camiohookd taught forget gate
    """
    from camiohookd.labelers.taught import store

    store.remove(paths.state_dir(os.environ), name)
    click.echo(f'"{name}" is forgotten')


def _read(name: str) -> "Taught":
    from camiohookd.labelers.taught import places, store

    path = places.path_of(paths.state_dir(os.environ), name)
    if not path.exists():
        raise CamiohookdError(f'nothing was taught as "{name}"; "camiohookd taught" lists the names')
    return store.read(path)
