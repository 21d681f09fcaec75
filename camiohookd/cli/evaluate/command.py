"""`camiohookd evaluate`: compare models and levels of detail on the owner's own pictures.

FOLDER ─▶ `read_folder`; each model with each detail ─▶ what it finds in each picture, and how long that takes
       ─▶ with references a table of average precision, without them what only one of two finds ─▶ settings
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, get_args

import click

from camiohookd.cli.evaluate.report import ComparedSetup, SetupResult, advice, differences, measured, write_side_by_side
from camiohookd.cli.input_file import InputFile
from camiohookd.cli.settings import settings_without_keys
from camiohookd.config.detail import Detail, Looking
from camiohookd.errors import CamiohookdError
from camiohookd.system.logs import escape
from camiohookd.units import plural

if TYPE_CHECKING:
    from camiohookd.config.load import Config
    from camiohookd.worker.event_labeler import EventLabeler

_LOW = 0.01
"""Finds from this probability on count for the average precision, as COCO's measure needs."""


@click.command()
@click.argument("folder", type=InputFile(files=False, folders=True))
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Try this model; may be repeated.  [default: the daemon's]"
)
@click.option(
    "--detail",
    "details",
    multiple=True,
    type=click.Choice(get_args(Detail)),
    help="How closely to look; may be repeated.  [default: the daemon's]",
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    help="The probability from which an object counts as found.  [default: the model's]",
)
@click.option(
    "--annotate",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write the pictures in which two setups differ into DIR, side by side, with what only one finds.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Use the first N pictures.")
def evaluate(
    folder: Path,
    models: tuple[str, ...],
    details: tuple[Detail, ...],
    score: float | None,
    annotate: Path | None,
    limit: int | None,
) -> None:
    """Compare models, and how closely they look, on your own pictures: how much they find, and how fast on this box.

    Every model is tried with every detail. If COCO's file (a .json in FOLDER or FOLDER/annotations) or YOLO's files (a
    .txt for each picture) say what is in the pictures, the result is a table: average precision (AP) as COCO defines
    it, precision and recall of each label, and the time for a picture on one core. Otherwise it shows what only one
    of two setups finds. At the end it prints lines for the settings.

    Each picture is an event of its own, and no rule is applied.

    \b
    Examples:
      camiohookd evaluate ~/pictures --detail whole --detail 2x2
      camiohookd evaluate ~/pictures --model yolox-s --model ssdlite-mobilenet-v2-coco --annotate /tmp/differences
    """
    from camiohookd.cli.evaluate.references import read_folder
    from camiohookd.config.picture_limits import picture_limits

    settings = settings_without_keys()
    if not models and settings.labeler.kind != "onnx":
        raise click.UsageError("the configured labeler runs no model; name models with --model")
    known = read_folder(folder)
    pictures = list(known.pictures)[:limit]
    if not pictures:
        raise CamiohookdError(f"{folder}: there are no pictures (.jpg, .jpeg, .png, .webp) in it")
    pairs = list(product(models or (settings.labeler.model,), details or (settings.labeler.detail,)))
    if len(pairs) > len(ascii_uppercase):
        raise click.UsageError(
            f"{len(pairs)} pairs of a model and a detail; at most {len(ascii_uppercase)} are compared"
        )
    setups = [ComparedSetup(letter, *pair) for letter, pair in zip(ascii_uppercase, pairs, strict=False)]
    click.echo(f"{plural(len(pictures), 'picture')}, {escape(known.source) or 'no reference files'}")
    results = _tried(setups, pictures, settings, score)
    _print_lines(
        f"{each.setup.letter}  {escape(each.setup.model)}, {each.setup.detail}: {each.ms:.0f} ms a picture"
        for each in results
    )
    if known.objects is not None:
        _print_lines(measured(results, {path: known.objects[path] for path in pictures}))
    else:
        _print_lines(differences(results))
    if annotate:
        written = write_side_by_side(results, annotate, picture_limits(settings.images))
        click.echo(f"\nwrote {plural(written, 'picture')} into {annotate}")
    _print_lines(advice(results))


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)


def _tried(
    setups: Sequence[ComparedSetup], pictures: Sequence[Path], settings: "Config", score: float | None
) -> list[SetupResult]:
    """Label each picture with every setup, one after the other, so that other work on the box slows all alike."""
    with ExitStack() as opened:
        tried = [_open(setup, settings, score, opened) for setup in setups]
        for path in pictures:
            for labeler, result in tried:
                if problem := _label(path, labeler, result):
                    click.echo(f"{click.format_filename(path)}: {problem}", err=True)
                    break  # no setup can read it
    return [result for _, result in tried]


def _open(
    setup: ComparedSetup, settings: "Config", score: float | None, opened: ExitStack
) -> "tuple[EventLabeler, SetupResult]":
    """Open the setup's labeler, which `opened` closes."""
    from msgspec.structs import replace

    from camiohookd.config.picture_limits import picture_limits
    from camiohookd.config.settings import RemoteSettings
    from camiohookd.labelers.model import find, load_description
    from camiohookd.labelers.open import open_labeler
    from camiohookd.monitoring.metrics import Metrics
    from camiohookd.worker.event_labeler import EventLabeler

    description = load_description(find(setup.model))
    if description.task != "detection":
        raise CamiohookdError(f"{setup.model}: a classifier finds no boxes, which are compared here")
    wanted = replace(settings.labeler, kind="onnx", model=setup.model, threads=1, remote=RemoteSettings())
    labeler, _ = open_labeler(wanted, None, lambda _degraded: None)
    opened.callback(labeler.close)
    result = SetupResult(setup, frozenset(description.labels), labeler.default_probability if score is None else score)
    return EventLabeler(labeler, picture_limits(settings.images), [], Metrics(), Looking(setup.detail)), result


def _label(path: Path, labeler: "EventLabeler", result: SetupResult) -> str | None:
    """Add what is found in a picture to the result; return why the picture cannot be used, None if it can."""
    from camiohookd.wire.images import Picture

    picture = Picture(path.name, path.read_bytes())
    event = labeler.event(None, partial(list, [picture]), lambda: None, _LOW)
    event.join()
    outcome = event.done.result()
    if not outcome.pictures:
        return "; ".join(outcome.rejected).removeprefix(f"{path.name}: ")
    [labeled] = outcome.pictures
    result.add(path, labeled.found, (labeled.width, labeled.height), outcome.decode_seconds + outcome.label_seconds)
    return None
