"""`camiohookd models add`: work out how to use a model's file, and add it.

FILE.onnx ─▶ `examine`, with a trial run ─▶ one reading, or the owner chooses ─▶ `library.adding` ─▶ label one picture
in every color order and range ─▶ a table that shows which of them are right
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.models.tables import names_in, tables_of
from camiohookd.cli.models.trial import Trials, describe, read_file
from camiohookd.errors import ModelError

if TYPE_CHECKING:
    from camiohookd.labelers.onnx.contract import Contract
    from camiohookd.labelers.onnx.examine import Examined

_DECODERS = ("ssd", "yolox", "yolo", "detr", "nanodet", "classify", "listed", "tf_od", "torchvision", "paddle")
_KNOWN = ("coco", "imagenet")
SAMPLE = Path(__file__).parents[2] / "samples" / "chelsea.jpg"


class _LabelsFile(InputFile):
    """A file with a name per line, or the word for well-known names."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value in _KNOWN else super().convert(value, param, ctx)


def _three_numbers(_context: click.Context, parameter: click.Parameter, text: str | None) -> list[float] | None:
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
    if not (cross and width.isdecimal() and height.isdecimal() and 0 < int(width) <= 4096 and 0 < int(height) <= 4096):
        raise click.BadParameter('expected width x height, such as "640x640"', param=parameter)
    return int(width), int(height)


size_option = click.option(
    "--size",
    callback=_size,
    metavar="WxH",
    help="The input's size in pixels, such as 416x256, which suits the pictures of most cameras. Many graphs allow "
    "another size than their own; a smaller one is faster.  [default: the file's, or 640x640]",
)
picture_option = click.option(
    "--picture",
    type=InputFile(),
    default=SAMPLE,
    metavar="IMAGE",
    help="The picture to try the model with.  [default: a photograph of a cat]",
)
into_option = click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/var/lib/camiohookd/models"),
    show_default=True,
    metavar="DIR",
    help="The folder to add the model to.",
)


@click.command()
@click.argument("file", metavar="FILE.onnx", type=InputFile())
@click.option("--name", help="The model's name.  [default: the file's name]")
@click.option(
    "--decoder", type=click.Choice(_DECODERS), help="How to read the outputs.  [default: found by a trial run]"
)
@click.option(
    "--reading",
    type=click.IntRange(1),
    metavar="N",
    help="Which of the ways to read the outputs, if several fit.  [default: ask]",
)
@click.option(
    "--labels",
    "labels_file",
    type=_LabelsFile(),
    metavar="FILE",
    help='The labels\' names, one per line; a label with an empty line is not reported. Or "coco" or "imagenet".',
)
@click.option("--color-order", type=click.Choice(["RGB", "BGR"]), help="The order of the colors.")
@click.option("--range", "value_range", type=click.Choice(["0..255", "0..1", "-1..1"]), help="The range of values.")
@click.option(
    "--resize",
    type=click.Choice(["stretch", "letterbox", "letterbox-centred", "crop"]),
    help="How to fit a picture into the input.",
)
@click.option(
    "--mean", callback=_three_numbers, metavar="A,B,C", help="Subtracted from each color, in the units of --range."
)
@click.option("--std", callback=_three_numbers, metavar="A,B,C", help="What each color is divided by after --mean.")
@size_option
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    default=0.4,
    show_default=True,
    help="Report objects from this probability on.",
)
@click.option("--license", "--licence", "licence", help="The license's short name.  [default: the file's, or unknown]")
@click.option(
    "--license-file",
    "--licence-file",
    "license_file",
    type=InputFile(),
    metavar="FILE",
    help="The license's text.",
)
@click.option("--source", default="", help="Where the model comes from.")
@picture_option
@into_option
def add(file: Path, name: str | None, picture: Path, into: Path, license_file: Path | None, **given: Any) -> None:
    """Add a model: work out how to use it, write its model.toml, and show what it finds in a picture.

    The command runs the model on the picture, and looks at the values that it returns. If they can be read in two
    ways, it shows both and asks. In a script, choose with --reading.

    A model's file does not say the order and the range of the colors. The command therefore labels the picture in
    each order and range. The line marked "used" should have the best labels. If another line is better, set
    --color-order, --range, --mean and --std, or change the model.toml.

    A model of the same name is replaced.

    \b
    Examples:
      sudo camiohookd models add yolox_nano.onnx --license Apache-2.0
      sudo camiohookd models add yolox_nano.onnx --size 416x256 --name yolox-wide
      sudo camiohookd models add birds.onnx --labels birds.txt --range 0..1
      camiohookd models add new.onnx --into ./models --picture yard.jpg
    """
    from camiohookd.labelers.onnx.model_file import read_whole

    name = checked_name(name or file.stem, "--name")
    add_model(read_whole(file), file, name, picture, into, read_file(license_file) if license_file else None, given)


def checked_name(name: str, option: str) -> str:
    """Return `name` if it can be the name of a model's folder. Raises click.BadParameter, which names `option`."""
    if name.startswith(".") or "/" in name:
        raise click.BadParameter(f"{name!r} cannot be the name of a folder; choose another {option}")
    return name


def add_model(
    model: bytes, file: Path, name: str, picture: Path, into: Path, license_text: bytes | None, given: Mapping[str, Any]
) -> None:
    """Add a model's bytes under `name`; `given` are the options of the command. Raises ModelError."""
    from camiohookd.labelers.library import adding, to_toml
    from camiohookd.labelers.onnx.examine import examine
    from camiohookd.labelers.onnx.labeler import open_onnx
    from camiohookd.pictures.decode import PictureLimits, decode

    photograph = decode(read_file(picture), PictureLimits(("jpeg", "png", "webp")), None)
    examined = examine(model, str(file), photograph.image, given["size"], given["decoder"])
    with Trials(examined.model, str(file), photograph, picture.name) as trials:
        contract = _chosen(examined, given, trials)
        tables = tables_of(examined, contract, file, given)
        with adding(into / name, examined.model, license_text) as folder:
            (folder / "model.toml").write_text(to_toml(tables))
            open_onnx(folder).close()
            click.echo(describe(tables))
            for row in trials.variants(tables):
                click.echo(row)
    click.echo(f'\nadded as {into / name}; to use it, write model = "{_model_setting(into, name)}" under [labeler]')


def _chosen(examined: "Examined", given: Mapping[str, Any], trials: Trials) -> "Contract":
    """Return the one reading, or that which the owner chooses; a file of labels leaves those with so many labels."""
    contracts, number = examined.contracts, given["reading"]
    if isinstance(given["labels_file"], Path):
        count = len(names_in(given["labels_file"]))
        contracts = [each for each in contracts if each.labels == count] or contracts
    if number is not None and number > len(contracts):
        raise click.BadParameter(f"there are {len(contracts)} ways to read the outputs", param_hint="--reading")
    if len(contracts) == 1 or number is not None:
        return contracts[(number or 1) - 1]
    click.echo("the model's outputs can be read in more than one way:", err=True)
    for nth, contract in enumerate(contracts, start=1):
        seen = trials.seen(tables_of(examined, contract, Path(), given, placeholders=True))
        click.echo(f"  {nth}  {contract.what}\n     in the picture: {seen}", err=True)
    if not sys.stdin.isatty():
        raise ModelError(f"choose how to read the model's outputs: --reading 1 to {len(contracts)}, listed above")
    chosen: int = click.prompt("Which one is right?", type=click.IntRange(1, len(contracts)), err=True)
    return contracts[chosen - 1]


def _model_setting(into: Path, name: str) -> str:
    from camiohookd.labelers.model import FOLDERS

    return name if into.resolve() in [folder.resolve() for folder in FOLDERS] else str((into / name).resolve())
