"""The report of `camiohookd evaluate`: tables, what only one of two setups finds, pictures side by side, settings."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from camiohookd.config.detail import Detail
from camiohookd.system.logs import escape
from camiohookd.units import plural

if TYPE_CHECKING:
    from camiohookd.cli.evaluate.precision import Measured
    from camiohookd.cli.evaluate.references import Reference
    from camiohookd.pictures.decode import PictureLimits
    from camiohookd.pictures.detections import Detection

_SHOWN = 40
_GAP, _TITLE = 8, 24  # pixels between two pictures, and above them
_NEARLY = 0.01
"""A difference in average precision that is not worth more time."""


class ComparedSetup(NamedTuple):
    """A model looking with some detail; `letter` names it in tables."""

    letter: str
    model: str
    detail: Detail

    @property
    def title(self) -> str:
        return f"{self.letter}  {escape(self.model)}, {self.detail}"


@dataclass(slots=True)
class SetupResult:
    """What a setup found: `found` in each picture of `sizes` (width, height), from a low probability on.

    `labels` are those that the model knows, `score` the probability from which an object counts as found, `seconds`
    the time for each picture, `ap` the mean average precision, nan if it was not measured.
    """

    setup: ComparedSetup
    labels: frozenset[str]
    score: float
    found: "dict[Path, Sequence[Detection]]" = field(default_factory=dict)
    sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    ap: float = math.nan

    def add(self, path: Path, found: "Sequence[Detection]", size: tuple[int, int], seconds: float) -> None:
        self.found[path], self.sizes[path] = found, size
        self.seconds.append(seconds)

    @property
    def ms(self) -> float:
        """Return the median time for a picture."""
        return 1000 * median(self.seconds) if self.seconds else math.nan

    def counted(self, path: Path) -> "list[Detection]":
        """Return what counts as found in one picture."""
        return [each for each in self.found[path] if each.probability >= self.score]


def measured(results: Sequence[SetupResult], references: "Mapping[Path, Sequence[Reference]]") -> Iterator[str]:
    """Yield the tables: each setup in all, then each label. Sets `ap` of each result."""
    from camiohookd.cli.evaluate.precision import mean

    labels = sorted({each.label for objects in references.values() for each in objects})
    known = [label for label in labels if all(label in result.labels for result in results)]
    tables = [_measures(result, known, references) for result in results]
    yield ""
    yield "SETUP     AP   AP50  PRECISION  RECALL  MS A PICTURE"
    for result, table in zip(results, tables, strict=True):
        result.ap = mean(each.ap for each in table.values())
        right, wrong, objects = (
            sum(getattr(each, column) for each in table.values()) for column in ("right", "wrong", "objects")
        )
        yield (
            f"{result.setup.letter:<6}{_number(result.ap):>6}"
            f"{_number(mean(each.ap50 for each in table.values())):>7}"
            f"{_number(_ratio(right, right + wrong)):>11}{_number(_ratio(right, objects)):>8}{result.ms:>14.0f}"
        )
    yield ""
    yield f"{'LABEL':<20}{'OBJECTS':>8}" + "".join(
        f"  {result.setup.letter + ':  AP  PREC   REC':>18}" for result in results
    )
    for label in known:
        row = f"{escape(label):<20}{tables[0][label].objects:>8}"
        for table in tables:
            one = table[label]
            row += f"    {_number(one.ap):>5}{_number(one.precision):>6}{_number(one.recall):>5}"
        yield row
    if unknown := [label for label in labels if label not in known]:
        yield f"left out, because not every model knows them: {escape(', '.join(unknown))}"


def _measures(
    result: SetupResult, labels: Sequence[str], references: "Mapping[Path, Sequence[Reference]]"
) -> "dict[str, Measured]":
    from camiohookd.cli.evaluate.precision import ComparedPicture, measure

    pictures = [
        ComparedPicture([each.in_pixels(*result.sizes[path]) for each in objects], result.found[path])
        for path, objects in references.items()
        if path in result.found
    ]
    return {label: measure(label, pictures, result.score) for label in labels}


def differences(results: Sequence[SetupResult]) -> Iterator[str]:
    """Yield what only one of two setups finds, picture by picture."""
    if len(results) == 1:
        yield from _counts(results[0])
        return
    for one, other in combinations(results, 2):
        rows = [row for path in one.found if path in other.found for row in _rows(path, one, other)]
        yield ""
        yield f"{one.setup.letter} and {other.setup.letter}: {plural(len(rows), 'object')} found by one of them only"
        yield from rows[:_SHOWN]
        if len(rows) > _SHOWN:
            yield f"... and {len(rows) - _SHOWN} more"


def _counts(result: SetupResult) -> Iterator[str]:
    """Yield how many objects of each label the only setup finds, most frequent first."""
    yield ""
    counts = Counter(each.label for path in result.found for each in result.counted(path))
    for label, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"{escape(label):<20}{count:>6}"
    yield (
        "nothing says what is in the pictures: give a second --model or --detail to see where they differ, or "
        "reference files"
    )


def _rows(path: Path, one: SetupResult, other: SetupResult) -> list[str]:
    return [
        f"{escape(path.name):<28}  only {result.setup.letter}  {escape(each.label):<16}  {each.probability:.2f}"
        for result, alone in _only_in_one(path, one, other)
        for each in alone
    ]


def _only_in_one(path: Path, one: SetupResult, other: SetupResult) -> "list[tuple[SetupResult, list[Detection]]]":
    """Return what each of the two finds that the other does not find."""
    from camiohookd.cli.evaluate.differences import only_in_first

    return [(mine, only_in_first(mine.counted(path), its.counted(path))) for mine, its in ((one, other), (other, one))]


def write_side_by_side(results: Sequence[SetupResult], folder: Path, limits: "PictureLimits") -> int:
    """Write each picture in which the first setup and another differ; return how many. Raises CamiohookdError."""
    from camiohookd.errors import CamiohookdError

    written = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        first = results[0]
        for other in results[1:]:
            for nth, path in enumerate(first.found, start=1):
                if path in other.found and any(alone for _, alone in _only_in_one(path, first, other)):
                    name = f"{first.setup.letter}-{other.setup.letter}-{nth:03}-{path.stem}.jpg"
                    _draw(path, first, other, folder / name, limits)
                    written += 1
    except OSError as error:
        raise CamiohookdError(f"cannot write into {folder}: {error.strerror or error}") from error
    return written


def _draw(path: Path, one: SetupResult, other: SetupResult, target: Path, limits: "PictureLimits") -> None:
    """Draw what both find with a thin box, what only one finds with a thick one; `one` is on the left."""
    from PIL import Image, ImageDraw, ImageFont

    from camiohookd.cli.label.annotate import annotate
    from camiohookd.pictures.decode import decode

    picture = decode(path.read_bytes(), limits, None).image
    font, width = ImageFont.load_default(_TITLE - 8), picture.width
    both = Image.new("RGB", (2 * width + _GAP, picture.height + _TITLE), "white")
    draw = ImageDraw.Draw(both)
    for nth, (result, alone) in enumerate(_only_in_one(path, one, other)):
        shared = [(each, "both") for each in result.counted(path) if each not in alone]
        left = nth * (width + _GAP)
        draw.text((left + 4, 3), result.setup.title, "black", font)
        both.paste(annotate(picture, alone, (), shared), (left, _TITLE))
    both.save(target, "JPEG", quality=90)


def advice(results: Sequence[SetupResult]) -> Iterator[str]:
    """Yield the lines for the settings: the best setup's; of nearly equal ones the fastest's; else each one's."""
    yield ""
    ranked = [result for result in results if not math.isnan(result.ap)]
    if ranked:
        most = max(result.ap for result in ranked)
        best = min((result for result in ranked if result.ap >= most - _NEARLY), key=lambda result: result.ms)
        why = "the highest AP" if best.ap == most else f"an AP within {_NEARLY:g} of the highest, in less time"
        yield f"the best is {best.setup.letter}: {why}; for camiohookd.toml:"
        yield from _settings(best)
        return
    for result in results:
        yield f"to use {result.setup.letter} ({result.ms:.0f} ms a picture), in camiohookd.toml:"
        yield from _settings(result)


def _settings(result: SetupResult) -> Iterator[str]:
    from camiohookd.labelers.library import to_toml

    yield to_toml({"labeler": {"model": result.setup.model, "detail": result.setup.detail}}).strip()


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}".removeprefix("0") if value < 1 else "1.00"
