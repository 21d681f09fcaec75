"""Compute what another rule would have sent for a kept event. Nothing is sent."""

from collections.abc import Sequence

from camiohookd import rules
from camiohookd.config.rule import Rule
from camiohookd.monitoring.history.records import LEAST_PROBABILITY, StoredEvent, StoredPicture
from camiohookd.monitoring.history.views import Replay, ReplayedPicture
from camiohookd.rules import RuledLabels
from camiohookd.wire.reply import Reply


def replay(task_id: str, event: StoredEvent, rule: Rule) -> Replay:
    """Apply `rule` to the kept detections of an event.

    The defaults of its `min_probability` and `static` are those of the event's rule.
    """
    rule = rules.complete(rule, event.rule.min_probability, event.rule.static)
    before, after = _reply(event.rule, event), _reply(rule, event)
    names = _names(before), _names(after)
    return Replay(
        event=task_id,
        rule=rule,
        pictures=tuple(
            ReplayedPicture(
                number,
                picture.timestamp,
                tuple(rules.explain(event.rule, ruled(event.rule, picture))),
                tuple(rules.explain(rule, ruled(rule, picture))),
            )
            for number, picture in enumerate(event.pictures)
        ),
        before=event.reply or before,
        after=after,
        added=tuple(name for name in names[1] if name not in names[0]),
        removed=tuple(name for name in names[0] if name not in names[1]),
        notes=tuple(_notes(event, rule)),
    )


def ruled(rule: Rule, picture: StoredPicture) -> RuledLabels:
    """Apply `rule` to the kept detections of a picture."""
    return rules.apply(rule, picture.timestamp, (picture.width, picture.height), picture.found)


def _reply(rule: Rule, event: StoredEvent) -> Reply:
    return rules.reply(rule, [ruled(rule, picture) for picture in event.pictures], event.event_labels)


def _names(reply: Reply) -> Sequence[str]:
    if isinstance(reply.labels, list):
        return reply.labels
    return sorted({name for labels in reply.labels.values() for name in labels})


def _notes(event: StoredEvent, rule: Rule) -> list[str]:
    # Where each labeler has a threshold of its own, less probable objects were kept only if the rule named them.
    asked = min(event.rule.min_probability_of.values(), default=1.0)
    if event.rule.min_probability is not None:
        asked = rules.least_probability(event.rule)
    kept = min(LEAST_PROBABILITY, asked)
    notes = []
    if rules.least_probability(rule) < kept:
        notes.append(f"Objects with a probability below {kept:g} were not kept, so they are not shown.")
    if more := sum(picture.more for picture in event.pictures):
        notes.append(f"{more} less probable objects were not kept.")
    if event.more_pictures:
        notes.append(f"{event.more_pictures} more pictures of the event were not kept.")
    if event.event_labels is not None:
        notes.append("The labeler labels the event as a whole: probabilities and zones of a rule do not apply.")
    return notes
