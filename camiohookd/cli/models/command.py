"""`camiohookd models`: list the installed models; `add` and `get` are in modules of their own."""

from typing import TYPE_CHECKING, Any

import click

from camiohookd.cli.models.add import add
from camiohookd.cli.models.get import get
from camiohookd.system.logs import escape
from camiohookd.system.permissions import remedy

if TYPE_CHECKING:
    from camiohookd.labelers.library import InstalledModel

_ROW = "{:<32}  {:<14}  {:>8}  {:<14}  {}"


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per model instead of a table.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the installed models, add one, or get a well-known one.

    "verified" means that the model's file has the checksum in its model.toml. To choose the daemon's model, write
    model = "NAME" under [labeler] in camiohookd.toml.

    \b
    Examples:
      camiohookd models
      sudo camiohookd models add birds.onnx --labels birds.txt
      sudo camiohookd models get yolox-s
    """
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from camiohookd.labelers.library import closed_folders, installed

    nth = 0
    for nth, each in enumerate(installed(), start=1):
        if nth == 1 and not as_json:
            click.echo(_ROW.format("NAME", "TASK", "SIZE", "LICENSE", "STATE"))
        click.echo(msgspec.json.encode(_as_object(each)) if as_json else _row(each))
    for folder in closed_folders():
        click.echo(f"models in {folder} are not listed, because it cannot be read{remedy(folder)}", err=True)
    if not nth and not as_json:
        click.echo('no models are installed; add one with "sudo camiohookd models add FILE.onnx"')


def _row(model: "InstalledModel") -> str:
    described = model.description
    task, licence = (described.task, described.licence) if described else ("?", "?")
    size = f"{model.size / 1e6:.1f} MB" if model.size else "?"
    return escape(_ROW.format(model.folder.name, task, size, licence, model.problem or "verified"))


def _as_object(model: "InstalledModel") -> dict[str, Any]:
    return {
        "name": model.folder.name,
        "folder": str(model.folder),
        "task": model.description and model.description.task,
        "licence": model.description and model.description.licence,
        "bytes": model.size,
        "verified": model.problem is None,
        "problem": model.problem,
    }


models.add_command(add)
models.add_command(get)
