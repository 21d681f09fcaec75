"""``/failed``: show the failed events by cause, with a button for each cause to try its events again."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from camiohookd.queue import commands
from camiohookd.queue.task import Cause, State
from camiohookd.queue.views import TaskDetails, TaskList
from camiohookd.units import plural
from camiohookd.web.page import words
from camiohookd.web.page.endpoint import Form, PageEndpoint
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused

MOST_SHOWN = 10_000
_MOST_REASONS = 5
_MOST_LATEST = 10


class FailedGroup(NamedTuple):
    """The failed events of one cause, with the most frequent `reasons`, their counts, and the `latest` events."""

    cause: str
    title: str
    advice: str
    total: int
    reasons: Sequence[tuple[str, int]]
    latest: Sequence[TaskDetails]


class FailedPage(PageEndpoint):
    """``/failed``."""

    methods = ("GET", "HEAD", "POST")

    async def show(self) -> None:
        tasks, more = await self._failed()
        self.show_page("failed", groups=group(tasks), done=_done(self.parameter("again")), more=more)

    async def act(self, form: Form) -> None:
        try:
            cause = Cause(form.get("cause", ""))
        except ValueError:
            raise Refused(error_responses.BAD_FORM) from None
        count, after = 0, None
        while True:
            part = await self.page.sources.perform(commands.RetryFailed(after, cause))
            assert isinstance(part, commands.Retried)
            count, after = count + part.count, part.next
            if after is None:
                break
        self.go_to(f"/failed?again={count}")

    async def _failed(self) -> tuple[list[TaskDetails], bool]:
        """Return the failed events, at most `MOST_SHOWN`, and whether there are more."""
        tasks: list[TaskDetails] = []
        after = None
        while len(tasks) < MOST_SHOWN:
            part = await self.page.sources.perform(commands.ListTasks(State.FAILED, after))
            assert isinstance(part, TaskList)
            tasks += part.tasks
            after = part.next
            if after is None:
                break
        return tasks, after is not None


def group(tasks: Sequence[TaskDetails]) -> list[FailedGroup]:
    """Return the groups of `tasks`, largest first. `tasks` must be in the order of their ids."""
    by_cause: dict[str, list[TaskDetails]] = {}
    for task in tasks:
        by_cause.setdefault(task.cause or "", []).append(task)
    groups = [
        FailedGroup(
            cause,
            *words.cause(cause),
            len(each),
            Counter(task.reason for task in each).most_common(_MOST_REASONS),
            each[: -_MOST_LATEST - 1 : -1],
        )
        for cause, each in by_cause.items()
    ]
    return sorted(groups, key=lambda each: -each.total)


def _done(count: str) -> str:
    """Return a sentence on what the button did; "" if it was not pressed."""
    return f"{plural(int(count), 'event is', 'events are')} tried again." if count.isdecimal() else ""
