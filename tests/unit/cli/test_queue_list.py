"""``camiohookd queue list`` while no daemon runs: the table, its header and its units."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from camiohookd.cli.queue import queue as queue_command
from camiohookd.errors import CamiohookdError
from camiohookd.queue.task import Cause
from camiohookd.queue.task_queue import TaskQueue
from tests.support.queue_factory import REPLY, make_event

Run = Callable[..., Result]
NO_PICTURE = "no picture could be used: 2017-05-05T01:31:00.738647: the file is not a JPEG picture but an HTML page"
LONG = "labeling failed 3 times: " + "x" * 400


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    return lambda *arguments: CliRunner().invoke(queue_command, arguments)


@pytest.fixture
def state(tmp_path: Path) -> None:
    """Make a queue: task 1 is done, task 2 has failed with a long reason."""
    queue = TaskQueue(tmp_path / "state", backoff=lambda _: 1.0)
    with queue.batch():
        for number in (1, 2):
            queue.put(make_event(number))
        queue.labelled(1, REPLY)
        queue.deliveries.done(1)
        queue.fail(2, Cause.LABELING, LONG)
        queue.commit()
    queue.close()


@pytest.mark.usefixtures("state")
def test_shows_what_was_sent_and_shortens_long_reasons(run: Run) -> None:
    header, done, failed = run("list").stdout.splitlines()
    assert header.split() == ["id", "state", "received", "images", "attempts", "camera", "labels,", "or", "reason"]
    assert done.endswith("cat 0.93")
    assert failed.endswith("xxx...")
    assert len(failed) < 200


def test_a_reason_that_names_the_kind_of_a_file_is_shown_in_full(run: Run, tmp_path: Path) -> None:
    queue = TaskQueue(tmp_path / "state", backoff=lambda _: 1.0)
    with queue.batch():
        queue.put(make_event(1))
        queue.fail(1, Cause.NO_PICTURE, NO_PICTURE)
        queue.commit()
    queue.close()
    assert run("list").stdout.splitlines()[1].endswith(NO_PICTURE)


@pytest.mark.usefixtures("state")
def test_show_has_the_whole_reason_and_the_labels_of_a_done_task(run: Run) -> None:
    assert json.loads(run("show", "2").stdout)["reason"] == LONG
    done = json.loads(run("show", "1").stdout)
    assert (done["labels"], done["attempts"], done["has_reply"]) == ("cat 0.93", 1, False)


@pytest.mark.usefixtures("state")
def test_reports_an_empty_queue_and_one_task_in_the_singular(run: Run) -> None:
    assert run("list", "--state", "pending").stdout == "there are no pending tasks\n"
    assert run("retry", "--failed").stdout == "1 task is retried\n"
    assert run("retry", "--failed").stdout == "0 tasks are retried\n"


def test_prints_no_header_before_an_error(run: Run) -> None:
    result = run("list")
    assert isinstance(result.exception, CamiohookdError)
    assert result.stdout == ""
