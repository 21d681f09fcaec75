"""List what the daemon gives to the status page: data to show, and actions."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from camiohookd import rules
from camiohookd.config.rule import Rule
from camiohookd.monitoring.history.history import History
from camiohookd.monitoring.status import StatusReport
from camiohookd.queue import commands
from camiohookd.web.page.doctor_process import DoctorProcess
from camiohookd.web.page.teach_process import TeachProcess

Report = Callable[[], StatusReport]
"""Returns the status of the service; must not block."""

Perform = Callable[[commands.Command], Awaitable[commands.CommandResult]]
"""Performs a command on the queue. Raises NoSuchTask, WrongState."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """The result of a test event; times are in seconds. `task_id` is "" if it was not accepted."""

    task_id: str = ""
    accepted_after: float | None = None
    labeled_after: float | None = None
    labels: Mapping[str, float | None] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


TestEvent = Callable[[], Awaitable[TestResult]]
"""Sends a test event through the service, and waits for its labels. Raises CamiohookdError."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The data and actions that the pages use.

    `is_busy` says whether events wait to be labeled. `default_probability` is the labeler's, for rules that set none;
    None if each of several labelers has its own.
    """

    report: Report
    is_busy: Callable[[], bool]
    perform: Perform
    send_test_event: TestEvent
    doctor: DoctorProcess
    teaching: TeachProcess
    history: History
    rules: Callable[[], Sequence[Rule]]
    default_probability: float | None

    def rule_for(self, camera: str) -> Rule:
        """Return the rule that applies to a camera now, as it is in the settings."""
        return rules.match(self.rules(), camera)
