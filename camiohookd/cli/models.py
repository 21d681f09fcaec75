"""`camiohookd models`: list the installed models, and add one.

FILE.onnx ─▶ `graph` ─▶ `contract` (options override it) ─▶ `library.adding` ─▶ label one picture in every colour order
and range ─▶ a table that shows which of them are right
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.model_trial import describe, read_file, try_variants
from camiohookd.errors import ModelError
from camiohookd.system.logs import escape
from camiohookd.system.permissions import remedy

if TYPE_CHECKING:
    from camiohookd.labelers.library import InstalledModel
    from camiohookd.labelers.onnx.graph_guess import Contract

_ROW = "{:<32}  {:<14}  {:>8}  {:<14}  {}"
_DECODERS = ("ssd", "yolox", "yolo", "detr", "nanodet", "classify")
_SAMPLE = Path(__file__).parents[1] / "samples" / "chelsea.jpg"


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per model instead of a table.")
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the installed models, or add one.

    "verified" means that the model's file has the checksum in its model.toml. To choose the daemon's model, write
    model = "NAME" under [labeler] in camiohookd.toml.

    \b
    Examples:
      camiohookd models
      sudo camiohookd models add birds.onnx --labels birds.txt
    """
    if context.invoked_subcommand is not None:
        return
    import msgspec

    from camiohookd.labelers.library import closed_folders, installed

    nth = 0
    for nth, each in enumerate(installed(), start=1):
        if nth == 1 and not as_json:
            click.echo(_ROW.format("NAME", "TASK", "SIZE", "LICENCE", "STATE"))
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


def _numbers(_context: click.Context, parameter: click.Parameter, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter('expected three numbers, such as "0.485,0.456,0.406"', param=parameter) from None
    return [red, green, blue]


def _size(_context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal()):
        raise click.BadParameter('expected width x height, such as "640x640"', param=parameter)
    return int(width), int(height)


@models.command()
@click.argument("file", metavar="FILE.onnx", type=InputFile())
@click.option("--name", help="The model's name.  [default: the file's name]")
@click.option(
    "--decoder", type=click.Choice(_DECODERS), help="How to read the outputs.  [default: found by their shapes]"
)
@click.option(
    "--labels",
    "labels_file",
    type=InputFile(),
    metavar="FILE",
    help="The labels' names, one per line; a label with an empty line is not reported.",
)
@click.option("--color-order", type=click.Choice(["RGB", "BGR"]), help="The order of the colours.")
@click.option("--range", "value_range", type=click.Choice(["0..255", "0..1", "-1..1"]), help="The range of values.")
@click.option(
    "--resize",
    type=click.Choice(["stretch", "letterbox", "letterbox-centred", "crop"]),
    help="How to fit a picture into the input.",
)
@click.option(
    "--mean", callback=_numbers, metavar="A,B,C", help="Subtracted from each colour, in the units of --range."
)
@click.option("--std", callback=_numbers, metavar="A,B,C", help="What each colour is divided by after --mean.")
@click.option(
    "--size", callback=_size, metavar="WxH", help="Input size of a model that accepts any.  [default: 640x640]"
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    default=0.4,
    show_default=True,
    help="Report objects from this probability on.",
)
@click.option("--licence", default="unknown", show_default=True, help="The licence's short name.")
@click.option(
    "--licence-file",
    type=InputFile(),
    metavar="FILE",
    help="The licence's text.",
)
@click.option("--source", default="", help="Where the model comes from.")
@click.option(
    "--picture",
    type=InputFile(),
    default=_SAMPLE,
    metavar="IMAGE",
    help="The picture to try the model with.  [default: a photograph of a cat]",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/camiohookd/models"),
    show_default=True,
    metavar="DIR",
    help="The folder to add the model to.",
)
def add(file: Path, name: str | None, picture: Path, into: Path, licence_file: Path | None, **given: Any) -> None:
    """Add a model: work out how to use it, write its model.toml, and show what it finds in a picture.

    A model's file does not say the order and the range of the colours. The command therefore labels the picture in
    each order and range. The line marked "used" should have the best labels. If another line is better, set
    --color-order and --range, or change the model.toml.

    A model of the same name is replaced.

    \b
    Examples:
      sudo camiohookd models add yolox_nano.onnx --licence Apache-2.0
      sudo camiohookd models add birds.onnx --labels birds.txt --range 0..1
      camiohookd models add new.onnx --into ./models --picture yard.jpg
    """
    from camiohookd.labelers.library import adding, to_toml
    from camiohookd.labelers.onnx.labeler import open_onnx

    name = name or file.stem
    if name.startswith(".") or "/" in name:
        raise click.BadParameter(f"{name!r} cannot be the name of a folder; choose another --name")
    model = read_file(file)
    tables = _tables(file, model, given)
    with adding(into / name, model, read_file(licence_file) if licence_file else None) as folder:
        (folder / "model.toml").write_text(to_toml(tables))
        open_onnx(folder).close()
        click.echo(describe(tables))
        for row in try_variants(folder, tables, picture):
            click.echo(row)
        (folder / "model.toml").write_text(to_toml(tables))
    click.echo(f'\nadded as {into / name}; to use it, write model = "{_to_be_written(into, name)}" under [labeler]')


def _tables(file: Path, model: bytes, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contents of the `model.toml`: options where given, else derived from the graph."""
    import hashlib

    from camiohookd.labelers.library import MODEL_FILE
    from camiohookd.labelers.onnx.graph import read_graph
    from camiohookd.labelers.onnx.graph_guess import guess, image_input

    graph = read_graph(model, str(file))
    taken = image_input(graph.inputs)
    width, height = given["size"] or (taken.width, taken.height)
    contract = guess(graph.outputs, (width, height), given["decoder"])
    labels, options = _labels(contract, given["labels_file"], graph.metadata)
    keys = {"color_order": "color_order", "range": "value_range", "resize": "resize", "mean": "mean", "std": "std"}
    chosen = {key: given[option] for key, option in keys.items() if given[option] is not None}
    tables = {
        "task": contract.task,
        "decoder": contract.decoder,
        "file": MODEL_FILE,
        "sha256": hashlib.sha256(model).hexdigest(),
        "licence": given["licence"],
        "source": given["source"] or file.name,
        "labels": list(labels),
        "input": {"name": taken.name, "width": width, "height": height, "layout": taken.layout}
        | dict(contract.preparation)
        | chosen,
        "outputs": dict(contract.outputs),
        "options": options,
        "thresholds": {"score": given["score"], "iou": 0.6},
    }
    return {key: value for key, value in tables.items() if value != {}}


def _labels(
    contract: "Contract", file: Path | None, metadata: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the labels' names and the decoder's options, which for a DETR depend on the number of labels."""
    from camiohookd.labelers.model import find, load_description
    from camiohookd.labelers.onnx.graph_guess import label_names

    options = dict(contract.options)
    counts = {contract.labels: options}
    if contract.decoder == "detr":
        counts = {contract.labels: {"activation": "sigmoid"}, contract.labels - 1: {"activation": "softmax"}}
    if file is not None:
        names = tuple(read_file(file).decode(errors="replace").splitlines())
        return names, counts.get(len(names), options)
    coco = load_description(find("ssdlite-mobilenet-v2-coco")).labels
    for count, its_options in counts.items():
        if names := label_names(count, metadata, coco) or ():
            return names, its_options
    raise ModelError(f"the model's file does not name its {contract.labels or ''} labels; give them with --labels")


def _to_be_written(into: Path, name: str) -> str:
    from camiohookd.labelers.model import FOLDERS

    return name if into.resolve() in [folder.resolve() for folder in FOLDERS] else str((into / name).resolve())
