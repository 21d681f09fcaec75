"""`camiohookd teach`: teach the state of a zone, or finer kinds of detected objects, with a few pictures.

arguments ─▶ `examples` ─▶ `labelers.taught.teaching` ─▶ the report, and a file in the state folder
"""

import dataclasses
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.settings import config_option, settings_without_keys
from camiohookd.config import paths
from camiohookd.errors import CamiohookdError, ConfigError
from camiohookd.system.logs import escape
from camiohookd.units import plural

if TYPE_CHECKING:
    from camiohookd.cli.teach.examples import Given
    from camiohookd.config.load import Config
    from camiohookd.labelers.taught.report import Report
    from camiohookd.labelers.taught.store import Taught, TaughtZone
    from camiohookd.labelers.taught.teaching import Subject


class _TeachCommand(click.Command):
    """A command whose --label holds for the files and events behind it, up to the next --label."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite ``--label A x y --event 7`` as ``--file A x --file A y --event-of A 7``."""
        label: str | None = None
        rewritten: list[str] = []
        left = list(args)
        options = [each for each in self.params if isinstance(each, click.Option) and not each.is_flag]
        takes_value = {option for each in options for option in each.opts}
        while left:
            word = left.pop(0)
            name, equals, value = word.partition("=")
            if name == "--label" and (equals or left):
                label = value if equals else left.pop(0)
            elif name == "--event" and label is not None and (equals or left):
                rewritten += ["--event-of", label, value if equals else left.pop(0)]
            elif name in takes_value and not equals and left:
                rewritten += [word, left.pop(0)]
            elif (word.startswith("-") and word != "-") or label is None:
                rewritten.append(word)
            else:
                rewritten += ["--file", label, word]
        return super().parse_args(ctx, rewritten)


_EXISTING = InputFile(folders=True)


@click.command(cls=_TeachCommand)
@click.argument("name")
@click.argument("folders", metavar="[FOLDER]", nargs=-1, type=_EXISTING)
@click.option("--zone", metavar="CAMERA:ZONE", help="Teach the state of this zone of the camera's rule.")
@click.option("--on", metavar="LABEL", help="Teach kinds of the objects that are detected as LABEL.")
@click.option(
    "--label", metavar="LABEL", expose_value=False, help="The label that the files and events behind it show."
)
@click.option("--event", metavar="ID", help="Take the kept pictures of this event, for the --label in front of it.")
@click.option("--file", "files", hidden=True, multiple=True, type=(str, _EXISTING))
@click.option("--event-of", "events", hidden=True, multiple=True, type=(str, click.IntRange(min=0)))
@click.option(
    "--flip/--no-flip",
    default=None,
    help="Whether a mirror image shows the same.  [default: yes for --on, no for --zone]",
)
@click.option(
    "--steady",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    metavar="N",
    help="A zone's state changes when N events in a row show another one.",
)
@click.option(
    "--report",
    "reports",
    type=click.Choice(["state", "changed", "both"]),
    default="state",
    show_default=True,
    help='What is sent of a zone: its state in every event; its state and the label "NAME changed" in an event '
    "in which it changes, and nothing in others; or both.",
)
@click.option(
    "--keep-pictures/--no-pictures",
    default=True,
    show_default=True,
    help="Whether to keep what was cut out of the pictures, to teach the same to another model later.",
)
@config_option
@click.option("--anyway", is_flag=True, help="Keep the result even if the labels were not learned well enough.")
def teach(
    name: str,
    folders: tuple[Path, ...],
    zone: str | None,
    on: str | None,
    event: str | None,
    files: tuple[tuple[str, Path], ...],
    events: tuple[tuple[str, int], ...],
    keep_pictures: bool,
    anyway: bool,
    config_file: Path | None,
    **options: Any,
) -> None:
    """Teach labels with about ten pictures of each: the state of a zone, or kinds of objects.

    --zone: whether a gate is open or closed, the bin is out, a light is on. The zone is one of the camera's rule in
    camiohookd.toml; a zone of the kind "state" leaves no object out. --on: what kind of car it is; of each picture the
    most probable object of that label is taken.

    Give the files behind --label, or one FOLDER with a folder of pictures per label, or the numbers of kept events as
    the status page shows them (--event). The label "other" is never sent: use it for pictures that show none of the
    other labels.

    The features are those of the labeler's own model. The command prints how well the labels were learned: each event
    is left out in turn, and its pictures are labeled by what was learned from the others. A running daemon uses the
    result within seconds.

    \b
    Examples:
      sudo camiohookd teach gate --zone front:gate --label open open/*.jpg --label closed closed/*.jpg
      sudo camiohookd teach vans --on car --label mail-van vans/*.jpg --label other cars/*.jpg
      sudo camiohookd teach bin --zone yard:bin --label out --event 17 --event 21 --label in --event 18 --event 19
      sudo camiohookd teach gate ./gate-pictures --zone front:gate --report changed --steady 2
    """
    from camiohookd.cli.teach.examples import Given
    from camiohookd.config.load import load_config
    from camiohookd.labelers.taught import places, store
    from camiohookd.labelers.taught.teaching import Subject

    if (zone is None) == (on is None):
        raise click.UsageError("give either --zone CAMERA:ZONE or --on LABEL")
    if event is not None:
        raise click.UsageError("give --label NAME in front of --event")
    settings = load_config(config_file, os.environ) if config_file else settings_without_keys()
    where = find_zone(settings, zone) if zone else None
    if options["flip"] is None:
        options["flip"] = on is not None
    subject = Subject(places.check_name(name), where, on, **options)
    given = Given(files, events, folders)
    started = time.perf_counter()
    taught = _taught(settings, subject, given, keep_pictures=keep_pictures)
    click.echo(
        f"learned from {plural(sum(taught.report.pictures), 'picture')} in {time.perf_counter() - started:.1f} s"
    )
    print_report(taught.report)
    if taught.report.advice and not anyway:
        raise CamiohookdError(f'not learned well enough, so "{name}" is not kept (--anyway keeps it)')
    path = store.save(paths.state_dir(os.environ), taught)
    click.echo(f"kept as {path}; a running daemon uses it within seconds")


def _taught(settings: "Config", subject: "Subject", given: "Given", *, keep_pictures: bool) -> "Taught":
    from camiohookd.cli.teach.examples import ExampleMaker
    from camiohookd.config.picture_limits import picture_limits
    from camiohookd.labelers.model import load_description
    from camiohookd.labelers.onnx.features import open_features
    from camiohookd.labelers.onnx.labeler import open_onnx
    from camiohookd.labelers.onnx.throughput import cores
    from camiohookd.labelers.taught import teaching
    from camiohookd.labelers.taught.open import model_of

    folder = model_of(settings.labelers)
    description = load_description(folder)
    if subject.on is not None and subject.on not in description.labels:
        click.echo(f'the model knows no label "{escape(subject.on)}"; "camiohookd labels" lists them', err=True)
    model = open_features(folder)
    limits = dataclasses.replace(picture_limits(settings.images), formats=("jpeg", "png", "webp"))
    gatherer = ExampleMaker(subject.zone, subject.on, model.input_size, limits)
    labeler = open_onnx(folder) if subject.on is not None and (given.files or given.folders) else None
    try:
        examples = gatherer.examples(given, labeler)
    finally:
        if labeler:
            labeler.close()
    for note in gatherer.notes:
        click.echo(note, err=True)
    return teaching.teach(
        subject, examples, model, description.sha256, keep_crops=keep_pictures, threads=min(cores(), 4)
    )


def find_zone(settings: "Config", text: str) -> "TaughtZone":
    """Return the zone that ``CAMERA:ZONE`` names. Raises ConfigError."""
    from camiohookd import rules
    from camiohookd.labelers.taught.store import TaughtZone

    camera, colon, name = text.rpartition(":")
    if not colon:
        raise click.UsageError(f'--zone {text}: expected the camera and the zone, such as "front:gate"')
    zones = rules.match(settings.rule, camera).zone
    for zone in zones:
        if zone.name == name:
            return TaughtZone(camera, name, zone.polygon)
    known = ", ".join(f'"{zone.name}"' for zone in zones) or "no zone"
    raise ConfigError(
        f'the rule for camera "{camera}" has no zone "{name}" but {known}; draw one on the status page (Cameras), '
        'with the kind "state"'
    )


def print_report(report: "Report") -> None:
    """Print how well labels were learned."""
    from camiohookd.labelers.taught.report import table

    for label, pictures, events in zip(report.labels, report.pictures, report.events, strict=True):
        click.echo(f"  {escape(label)}: {plural(pictures, 'picture')} of {plural(events, 'event')}")
    if report.accuracy is None:
        click.echo("it cannot be judged: a label has only one event")
    else:
        click.echo(f"each event left out in turn: balanced accuracy {report.accuracy:.3f}")
    for line in table(report):
        click.echo(f"  {escape(line)}")
    for wrong in report.wrong:
        said = "not recognized" if wrong.said is None else f"taken for {wrong.said} ({wrong.probability:.2f})"
        click.echo(escape(f"wrong: {wrong.source} is {wrong.label}, {said}"))
    for advice in report.advice:
        click.echo(escape(f"not learned well enough: {advice}"))
