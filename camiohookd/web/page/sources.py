"""What the status page shows and does, as the daemon gives it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from camiohookd.queue import commands
from camiohookd.status import StatusReport

Report = Callable[[], StatusReport]
"""Returns how the service is doing; must not block."""

Perform = Callable[[commands.Command], Awaitable[commands.CommandResult]]
"""Does what is asked of the queue. Raises NoSuchTask, WrongState."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """What came of a test event; `task_id` is "" if it was not accepted, `problems` is empty if all went well."""

    task_id: str = ""
    accepted_after: float | None = None
    labelled_after: float | None = None
    labels: Mapping[str, float | None] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


TestEvent = Callable[[], Awaitable[TestResult]]
"""Sends one event the whole way, and waits for its labels. Raises CamiohookdError."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the pages ask."""

    report: Report
    perform: Perform
    send_test_event: TestEvent
