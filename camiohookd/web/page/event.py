"""``/events/ID``: show one event in full, with buttons to try it again, drop it, and replay it under another rule.

The history says what happened; the queue says which buttons can be used now.
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from camiohookd.config import rule_text
from camiohookd.config.rule import Rule
from camiohookd.errors import CamiohookdError, NoSuchTask
from camiohookd.monitoring.history.records import Step
from camiohookd.monitoring.history.views import EventDetails, PictureDetails
from camiohookd.queue import commands
from camiohookd.queue.task import State
from camiohookd.queue.views import TaskDetails
from camiohookd.rules import Explained
from camiohookd.units import duration, plural
from camiohookd.web.page.cards import STATES, labels_in_words, thumbnail_address
from camiohookd.web.page.drawing import Drawing, drawing
from camiohookd.web.page.endpoint import Form, PageEndpoint
from camiohookd.wire.reply import Label, Reply

MOST_LEFT_OUT = 8
"""Detections that a rule left out and that are listed at once; a model finds dozens of improbable ones."""

_REPLY_LETTERS = 20_000


class ShownPicture(NamedTuple):
    """A picture with what is drawn over it; `address` is None if there is no thumbnail.

    `rows` are the detections to draw and to list, `more_rows` the less probable ones that the rule left out.
    """

    details: PictureDetails
    drawing: Drawing
    address: str | None
    rows: Sequence[Explained]
    more_rows: Sequence[Explained]


class Time(NamedTuple):
    """One line of the event's times: seconds since 1970, what happened, a status for its color, and details."""

    at: float
    what: str
    status: str
    more: str


class EventEndpoint(PageEndpoint):
    """A page about the event whose id is in the path."""

    @property
    def task_id(self) -> str:
        return self.request.path.split("/")[2]

    async def details(self) -> EventDetails | None:
        """Return what the history has of the event; None if nothing."""
        return await self.page.sources.history.event(int(self.task_id))

    async def task(self) -> TaskDetails | None:
        """Return what the queue has of the event; None if it was deleted."""
        try:
            found = await self.page.sources.perform(commands.ShowTask(self.task_id))
        except NoSuchTask:
            return None
        assert isinstance(found, TaskDetails)
        return found


class EventPage(EventEndpoint):
    """``/events/ID``."""

    async def show(self) -> None:
        details, task = await self.details(), await self.task()
        if details is None and task is None:
            raise NoSuchTask(f"there is no event {self.task_id}: it is neither in the queue nor in the history")
        self.show_page(
            "event",
            task_id=self.task_id,
            event=details,
            task=task,
            states=STATES,
            labels=labels_in_words(details.summary) if details else "",
            pictures=_pictures(details) if details else [],
            times=times_of(details) if details else [],
            reply=pretty(details.reply) if details else "",
            rule=rule_text.text_of(details.rule) if details else "",
            can_retry=task is not None and task.state is State.FAILED,
            done=self.parameter("done"),
        )


class EventAction(EventEndpoint):
    """``/events/ID/retry`` and ``/events/ID/drop``."""

    methods = ("POST",)

    async def act(self, form: Form) -> None:  # noqa: ARG002  # it has a token and no more
        if self.request.path.endswith("/retry"):
            await self.page.sources.perform(commands.RetryTask(self.task_id))
            self.go_to(f"/events/{self.task_id}?done=retry")
        else:
            await self.page.sources.perform(commands.DropTask(self.task_id))
            self.go_to("/events")


class ReplayPage(EventEndpoint):
    """``/events/ID/replay``: what another rule would have sent. Sends nothing."""

    methods = ("POST",)

    async def act(self, form: Form) -> None:
        text = form.get("rule", "")
        replayed, problem = None, ""
        try:
            replayed = await self.page.sources.history.replay(
                int(self.task_id), asked_rule(text, form.get("score", ""))
            )
            if replayed is None:
                problem = "the detections of this event are not kept"
        except CamiohookdError as error:
            problem = str(error)
        self.show_page(
            "replay",
            task_id=self.task_id,
            replay=replayed,
            problem=problem,
            rule=text,
            score=form.get("score", ""),
            before=pretty(replayed.before) if replayed else "",
            after=pretty(replayed.after) if replayed else "",
        )


def asked_rule(text: str, score: str) -> Rule:
    """Return the rule in `text`, with `score` as its min_probability unless that is "". Raises ConfigError."""
    rule = rule_text.read(text, "the rule")[0] if text.strip() else Rule()
    if score:
        [scored] = rule_text.read(f"[[rule]]\nmin_probability = {score.strip().splitlines()[0]}", "the score")
        rule = msgspec.structs.replace(rule, min_probability=scored.min_probability, min_probability_of={})
    return rule


def pretty(reply: Reply | None) -> str:
    """Return a reply as readable JSON with one line for each label; cut a very long one."""
    if reply is None:
        return ""
    if isinstance(reply.labels, list):
        labels = _json(reply.labels)
    else:
        images = [f"    {_json(timestamp)}: {_pretty_labels(found)}" for timestamp, found in reply.labels.items()]
        labels = _braces(images, "  ")
    text = f'{{\n  "status": {_json(reply.status)},\n  "labels": {labels}\n}}'
    return text if len(text) <= _REPLY_LETTERS else f"{text[:_REPLY_LETTERS]}\n... (cut)"


def _pretty_labels(labels: Mapping[str, Label]) -> str:
    return _braces([f"      {_json(name)}: {_json(label)}" for name, label in labels.items()], "    ")


def _braces(lines: Sequence[str], indent: str) -> str:
    return "\n".join(("{", ",\n".join(lines), f"{indent}}}")) if lines else "{}"


def _json(value: object) -> str:
    return json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _pictures(details: EventDetails) -> list[ShownPicture]:
    return [_shown(picture, details) for picture in details.pictures]


def _shown(picture: PictureDetails, details: EventDetails) -> ShownPicture:
    found = picture.detections
    left_out = [nth for nth, each in enumerate(found) if each.left_out is not None]
    more = set(sorted(left_out, key=lambda nth: -found[nth].found.probability)[MOST_LEFT_OUT:])
    rows = tuple(each for nth, each in enumerate(found) if nth not in more)
    return ShownPicture(
        picture,
        drawing(msgspec.structs.replace(picture, detections=rows), details.rule, all_objects=True),
        thumbnail_address(details.summary.id, picture.number) if picture.has_thumbnail else None,
        rows,
        [each for nth, each in enumerate(found) if nth in more],
    )


def times_of(details: EventDetails) -> Sequence[Time]:
    """Return what happened to an event and when, oldest first."""
    times = [Time(details.summary.received, "Accepted from Camio", "", plural(details.summary.pictures, "picture"))]
    if details.labelled:
        more = (
            f"waited {duration(details.wait_seconds)}, labeled in {duration(details.label_seconds)} "
            f"(decoding {duration(details.decode_seconds)}, model {duration(details.model_seconds)}) "
            f"on {details.device or 'an unknown device'}"
        )
        times.append(Time(details.labelled, "Labeled", "ok", more))
    return [*times, *map(_time_of, details.steps)]


def _time_of(step: Step) -> Time:
    match step.what:
        case "tried":
            again = f", next try in {duration(step.next_seconds)}" if step.next_seconds is not None else ""
            status = {"delivered": "ok", "transient": "warn"}.get(step.outcome, "bad")
            return Time(step.at, f"Try {step.attempt}", status, f"{step.reason}, {duration(step.seconds)}{again}")
        case "done":
            total = f"{duration(step.seconds)} after it was accepted" if step.seconds else ""
            return Time(step.at, "Delivered", "ok", total)
        case "failed":
            return Time(step.at, "Failed", "bad", step.reason)
        case "retried":
            return Time(step.at, "Tried again", "", "")
        case "dropped":
            return Time(step.at, "Dropped by the owner", "warn", "")
