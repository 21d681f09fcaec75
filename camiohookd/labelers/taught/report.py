"""How well labels were learned, in numbers and words: judged on pictures that were left out, event by event."""

from collections.abc import Iterator, Sequence

import msgspec

from camiohookd.labelers.taught.unknown import Decision
from camiohookd.units import plural

WELL = 0.85
"""The least balanced accuracy of a good result; a picture that is not recognized counts as wrong."""

LEAST_PICTURES = 5
"""The least number of pictures of a label."""

_NAMED = 5


class Wrong(msgspec.Struct, frozen=True):
    """A picture that was taken for something else: `said` is None if it was not recognized."""

    source: str
    label: str
    said: str | None
    probability: float


class Report(msgspec.Struct, frozen=True):
    """`confusion[label][said]` counts left-out pictures; the last column are those that were not recognized.

    `pictures` are the numbers of examples of each label, `events` those of their events. `accuracy` is the mean over
    the labels of the part that was right, None if a label could not be judged. `advice` says what is missing, empty if
    the labels were learned well enough.
    """

    labels: tuple[str, ...]
    pictures: tuple[int, ...]
    events: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]
    accuracy: float | None
    wrong: tuple[Wrong, ...]
    advice: tuple[str, ...]


class ShownExample(msgspec.Struct, frozen=True):
    """An example: where it is from, the number of its label, the number of its event, a hash of its pixels."""

    source: str
    label: int
    event: int
    content: str


def judge(labels: Sequence[str], shown: Sequence[ShownExample], left_out: Sequence[Decision | None]) -> Report:
    """Make the report of what was said of each example when its event was left out."""
    confusion = [[0] * (len(labels) + 1) for _ in labels]
    wrong = []
    for example, verdict in zip(shown, left_out, strict=True):
        if verdict is None:
            continue
        said = len(labels) if verdict.label is None else verdict.label
        confusion[example.label][said] += 1
        if said != example.label:
            name = None if verdict.label is None else labels[said]
            wrong.append(Wrong(example.source, labels[example.label], name, round(verdict.probability, 3)))
    rates = [row[nth] / sum(row) for nth, row in enumerate(confusion) if sum(row)]
    report = Report(
        labels=tuple(labels),
        pictures=tuple(sum(each.label == nth for each in shown) for nth in range(len(labels))),
        events=tuple(len({each.event for each in shown if each.label == nth}) for nth in range(len(labels))),
        confusion=tuple(map(tuple, confusion)),
        accuracy=sum(rates) / len(rates) if len(rates) == len(labels) else None,
        wrong=tuple(wrong),
        advice=(),
    )
    return msgspec.structs.replace(report, advice=tuple(_advice(report, shown)))


def _advice(report: Report, shown: Sequence[ShownExample]) -> Iterator[str]:
    yield from _contradictions(report.labels, shown)
    for nth, label in enumerate(report.labels):
        if report.pictures[nth] < LEAST_PICTURES:
            missing = LEAST_PICTURES - report.pictures[nth]
            yield f"add {plural(missing, 'picture')} of {label}: it has {report.pictures[nth]}"
        if report.events[nth] < 2:
            yield f"add pictures of {label} from another event: all are from one, so it cannot be judged"
    if report.accuracy is None or report.accuracy >= WELL:
        return
    for nth, label in enumerate(report.labels):
        errors = [each for each in report.wrong if each.label == label]
        if errors and len(errors) > (1 - WELL) * sum(report.confusion[nth]):
            files = ", ".join(each.source for each in errors[:_NAMED])
            more = f" and {len(errors) - _NAMED} more" if len(errors) > _NAMED else ""
            yield f"add pictures of {label} such as {files}{more}"


def _contradictions(labels: Sequence[str], shown: Sequence[ShownExample]) -> Iterator[str]:
    first: dict[str, ShownExample] = {}
    for each in shown:
        other = first.setdefault(each.content, each)
        if other.label != each.label:
            yield (
                f"the same picture is given as {labels[other.label]} ({other.source}) and as {labels[each.label]} "
                f"({each.source}); leave one out"
            )


def table(report: Report) -> list[str]:
    """Return the confusion table as lines: a row for each label, a column for what was said."""
    said = [*report.labels, "unknown"]
    first = max(len("SHOWN \\ SAID"), *map(len, report.labels))
    widths = [max(len(name), 5) for name in said]
    rows = [
        ["SHOWN \\ SAID", *said],
        *([label, *map(str, row)] for label, row in zip(report.labels, report.confusion, strict=True)),
    ]
    return [
        "  ".join([row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], widths, strict=True))])
        for row in rows
    ]
