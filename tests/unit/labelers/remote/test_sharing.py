"""Share work between home and servers: who labels what, and what happens when the servers fail."""

import threading
import time
from collections.abc import Sequence

import pytest

from camiohookd.config.quantities import Duration
from camiohookd.config.settings import SpillSettings
from camiohookd.errors import LabelerDown, LabelingError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.labelers.remote.sharing import Sharing


class Part:
    """A labeler that counts; `failure` is what it raises. `entered` is set when it is asked, and it waits for `go`."""

    at_once = 1
    default_probability = 0.5
    input_size = (32, 32)
    calls_at_once = 4

    def __init__(self, device: str, *, remote: bool) -> None:
        self.device = device
        self.remote = remote
        self.failure: Exception | None = None
        self.asked = 0
        self.closed = False
        self.entered, self.go = threading.Event(), threading.Event()
        self.go.set()

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self.input_size if request.detail == "whole" else (64, 16)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:  # the protocol
        self.asked += 1
        self.entered.set()
        assert self.go.wait(30)
        if self.failure:
            raise self.failure
        return Findings([[]], device=self.device if self.remote else "", remote=self.remote)

    def close(self) -> None:
        self.closed = True


class Both:
    def __init__(self, prefer: str = "home", after: float = 60.0) -> None:
        self.home, self.servers = Part("cpu", remote=False), Part("http://gpu:1", remote=True)
        self.degraded: list[bool] = []
        settings = SpillSettings(prefer, Duration(after))  # type: ignore[arg-type]  # one of the two words
        self.labeler = Sharing(self.home, 1, self.servers, settings, self.degraded.append)  # type: ignore[arg-type]  # what is used of it

    def by(self, waited: float | None = 0.0) -> str:
        since = None if waited is None else time.monotonic() - waited
        found = self.labeler.label([], LabelRequest(waiting_since=since))
        assert found.remote == (found.device == self.servers.device)
        return found.device


def test_home_labels_alone_while_it_has_a_place() -> None:
    both = Both()
    assert [both.by(waited) for waited in (0, 61, None)] == ["cpu"] * 3
    assert both.servers.asked == 0


def busy(both: Both) -> threading.Thread:
    """Take the only place on this machine."""
    both.home.go.clear()
    thread = threading.Thread(target=both.by)
    thread.start()
    assert both.home.entered.wait(30)
    return thread


def free(both: Both, thread: threading.Thread) -> None:
    both.home.go.set()
    thread.join()


def test_pictures_that_wait_too_long_go_to_the_servers_until_this_machine_is_free(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    both = Both()
    thread = busy(both)
    try:
        assert [both.by(61), both.by(100)] == ["http://gpu:1"] * 2
    finally:
        free(both, thread)
    assert both.by(1) == "cpu"
    assert caplog.messages == [
        "pictures that have waited for more than 60 s go to inference servers, too",
        "the backlog is gone: labeling on this machine alone",
    ]


def test_a_picture_waits_for_home_only_as_long_as_it_may() -> None:
    both = Both(after=0.05)
    thread = busy(both)
    try:
        assert both.by(0) == "http://gpu:1"
    finally:
        free(both, thread)


@pytest.mark.parametrize("failure", [LabelerDown("gone"), LabelingError("refused")])
def test_what_the_servers_do_not_label_is_labeled_at_home(failure: Exception) -> None:
    both = Both()
    both.servers.failure = failure
    thread = busy(both)
    answers: list[str] = []
    waiting = threading.Thread(target=lambda: answers.append(both.by(61)))
    waiting.start()
    assert both.servers.entered.wait(30)
    free(both, thread)
    waiting.join()
    assert answers == ["cpu"]
    assert both.degraded == [], "home is what was chosen"


def test_this_machine_labels_while_the_preferred_servers_are_down(caplog: pytest.LogCaptureFixture) -> None:
    both = Both("remote")
    assert (both.by(), both.labeler.device) == ("http://gpu:1", "http://gpu:1")
    both.servers.failure = LabelerDown("gone")
    assert [both.by(), both.by()] == ["cpu", "cpu"]
    assert both.labeler.device == "cpu"
    both.servers.failure = None
    assert both.by() == "http://gpu:1"
    assert both.degraded == [True, False]
    assert caplog.messages == [
        "no inference server works: labeling on this machine",
        "inference servers work again: labeling there",
    ]


def test_a_failure_at_home_is_the_events() -> None:
    both = Both()
    both.home.failure = LabelingError("broken")
    with pytest.raises(LabelingError):
        both.by()
    both.home.failure = None
    assert both.by() == "cpu", "the place is free again"


def test_pictures_are_decoded_for_both_and_both_are_closed() -> None:
    both = Both()
    both.servers.input_size = (16, 48)
    assert both.labeler.decode_size(DEFAULT_REQUEST) == (32, 48)
    both.labeler.close()
    assert both.home.closed
    assert both.servers.closed
