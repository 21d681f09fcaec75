"""A fault that comes again and again is counted in the log, and summed up."""

import logging
import random
import string

from camiohookd.system.log_fields import about, event_of
from camiohookd.system.log_repeats import MAX_KINDS, MOST_TEXTS, Repeats, repeats_of


class Kept(logging.Handler):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Log:
    """A logger whose lines go through `Repeats`, and a clock that the test moves."""

    def __init__(self, most: int = 3) -> None:
        self.now = 0.0
        self.handler = Kept()
        self.repeats = Repeats(self.handler.handle, most=most, clock=lambda: self.now)
        self.handler.addFilter(self.repeats)

    def write(self, message: str, *args: object, level: int = logging.WARNING, event: str = "not_delivered") -> None:
        record = logging.LogRecord("camiohookd.worker", level, "x.py", 1, message, args, None)
        record.__dict__.update(about(event, task=7))
        self.handler.handle(record)

    @property
    def records(self) -> list[logging.LogRecord]:
        return self.handler.records

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.records]


def test_writes_the_first_lines_of_a_kind_and_counts_the_others() -> None:
    log = Log()
    for task in range(10):
        log.write("task=%d not delivered: no route to host", task)
    assert log.lines == [f"task={task} not delivered: no route to host" for task in range(3)]
    log.repeats.sum_up()
    summary = log.records[-1]
    assert summary.getMessage() == (
        "7 more lines like this one within 60 s, counted instead of written; the last: "
        "task=9 not delivered: no route to host"
    )
    assert (event_of(summary), repeats_of(summary)) == ("not_delivered", 7)


def test_sums_up_with_the_next_line_when_the_minute_is_over_and_writes_again() -> None:
    log = Log()
    for _ in range(4):
        log.write("cannot read the disk")
    log.now = 60
    log.write("another fault")
    assert log.lines[3].startswith("1 more line like this one")
    log.write("cannot read the disk")
    assert log.lines[-1] == "cannot read the disk"


def test_other_words_another_event_or_level_is_another_kind() -> None:
    log = Log(most=1)
    log.write("timed out")
    log.write("no route to host")
    log.write("timed out", event="failed")
    log.write("timed out", level=logging.ERROR)
    assert len(log.lines) == 4


def test_writes_every_line_below_a_warning() -> None:
    log = Log(most=1)
    for task in range(50):
        log.write("delivered task=%d", task, level=logging.INFO)
    assert len(log.lines) == 50


def test_remembers_a_bounded_number_of_kinds() -> None:
    log = Log(most=1)
    for _ in range(2):
        log.write("the first one")
    for number in range(MAX_KINDS):
        log.write("a fault", event="x" * number)
    assert any(line.startswith("1 more line like this one") for line in log.lines)


def test_sums_up_by_itself_when_no_line_comes_any_more() -> None:
    log = Log(most=1)
    log.repeats = Repeats(log.handler.handle, most=1, seconds=0.01)
    log.handler.filters = [log.repeats]
    log.write("a fault")
    log.write("a fault")
    timer = log.repeats._timer  # waiting for its thread is better than a sleep
    if timer is not None:
        timer.join()
    assert repeats_of(log.records[-1]) == 1


def test_a_flood_of_lines_that_differ_in_words_is_bounded_and_hides_no_other_fault() -> None:
    """Somebody may send whatever they like as the name of a camera."""
    log, noise = Log(), random.Random(7)
    for _ in range(5000):
        log.write("the camera %s sent no picture", "".join(noise.choices(string.ascii_letters, k=8)))
    assert len(log.lines) == MOST_TEXTS + 3
    log.write("the disk is full", event="disk_full")
    assert log.lines[-1] == "the disk is full"
    log.repeats.sum_up()
    assert log.lines[-1].startswith(f"{5000 - MOST_TEXTS - 3} more lines like this one within 60 s")
    log.write("the camera front sent no picture")
    assert log.lines[-1] == "the camera front sent no picture"
