"""If a device fails, the CPU replaces it, one line is logged, and it is tried again after 1, 5 and 30 minutes."""

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from camiohookd.errors import LabelingError, ModelError
from camiohookd.labelers.onnx.accelerators.fallback import MOST_HUNG, FallbackRunner
from camiohookd.labelers.onnx.runner import Node, Tensor

OUTPUT = Node("scores", "tensor(float)", ("batch", 2))
FEEDS = {"images": np.zeros((1, 3, 4, 4), np.float32)}
FROM_CPU, FROM_DEVICE = np.array([[0, 1]], np.float32), np.array([[0, 2]], np.float32)


class Fake:
    """A scripted device: its `answer` is an array or an error, or it hangs until `released`."""

    def __init__(self, device: str, answer: Tensor | Exception) -> None:
        self.device = device
        self.inputs = [Node("images", "tensor(float)", ("batch", 3, 4, 4))]
        self.outputs = [OUTPUT]
        self.answer = answer
        self.hangs = False
        self.released = threading.Event()
        self.runs = 0
        self.closed = False

    def run(self, outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        self.runs += 1
        if self.hangs:
            self.released.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return [self.answer]

    def close(self) -> None:
        self.closed = True


class Bench:
    """A `FallbackRunner` with fakes; `waits` holds the tries that it has scheduled, which the test starts."""

    def __init__(self) -> None:
        self.cpu = Fake("cpu", FROM_CPU)
        self.device = Fake("FancyExecutionProvider", FROM_DEVICE)
        self.start_error: Exception | None = None
        self.degraded: list[bool] = []
        self.waits: list[tuple[float, Callable[[], None]]] = []
        self.now = 0.0

    def open(self, trouble: str = "", failures: int = 1, deadline: float = 5.0) -> FallbackRunner:
        self.runner = FallbackRunner(
            'device "fancy"',
            self.cpu,
            self.start,
            deadline=deadline,
            on_degraded=self.degraded.append,
            trouble=trouble,
            failures=failures,
            later=lambda seconds, function: self.waits.append((seconds, function)),
            clock=lambda: self.now,
        )
        return self.runner

    def start(self) -> Fake:
        if self.start_error:
            raise self.start_error
        return self.device

    def run(self) -> Tensor:
        return self.runner.run(["scores"], FEEDS)[0]

    def try_again(self) -> float:
        """Let the time pass until the next try; return the seconds."""
        seconds, function = self.waits.pop(0)
        self.now += seconds
        function()
        return seconds


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.device.released.set()


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO)
    return caplog


def test_uses_a_working_device_and_logs_nothing(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    assert bench.open().device == "FancyExecutionProvider"
    assert bench.run() is FROM_DEVICE
    assert (bench.cpu.runs, bench.degraded, bench.waits, log.messages) == (0, [], [], [])


def test_replaces_a_device_that_does_not_start_by_the_cpu(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    bench.start_error = ModelError("no such driver")
    assert bench.open().device == "cpu"
    assert bench.run() is FROM_CPU
    assert bench.degraded == [True]
    assert log.messages == ['device "fancy": no such driver; labeling on the CPU, next try in 1 min']


def fails(device: Fake) -> None:
    device.answer = LabelingError("ONNX Runtime: device lost")


def gives_nan(device: Fake) -> None:
    device.answer = np.array([[0, np.nan]], np.float32)


def gives_another_shape(device: Fake) -> None:
    device.answer = np.zeros((1, 3), np.float32)


def gives_too_few_rows(device: Fake) -> None:
    device.answer = np.zeros((0, 2), np.float32)


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (fails, "device lost"),
        (gives_nan, "contains NaN or infinite values"),
        (gives_another_shape, r"of the shape \[1, 3\], expected \['batch', 2\]"),
        (gives_too_few_rows, r"of the shape \[0, 2\]"),
    ],
)
def test_a_failure_in_use_loses_no_picture_and_logs_one_line(
    bench: Bench, log: pytest.LogCaptureFixture, breaks: Callable[[Fake], None], reason: str
) -> None:
    bench.open()
    breaks(bench.device)
    assert bench.run() is FROM_CPU
    assert bench.run() is FROM_CPU
    assert bench.device.runs == 1
    assert bench.device.closed
    assert bench.degraded == [True]
    [record] = log.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("FancyExecutionProvider: ")
    assert re.search(reason, record.getMessage())


def test_gives_up_a_hanging_device_at_the_deadline(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    bench.open(deadline=0.1)
    bench.device.hangs = True
    assert bench.run() is FROM_CPU
    assert bench.degraded == [True]
    assert log.messages == [
        "FancyExecutionProvider: gave no answer within 0.1 s; labeling on the CPU, next try in 1 min"
    ]


def test_the_deadline_applies_to_each_picture(bench: Bench) -> None:
    bench.open(deadline=0.2)
    bench.device.hangs = True
    threading.Timer(0.4, bench.device.released.set).start()
    bench.device.answer = np.zeros((8, 2), np.float32)
    bench.runner.run(["scores"], {"images": np.zeros((8, 3, 4, 4), np.float32)})
    assert bench.degraded == []


def test_a_failure_in_several_threads_loses_no_picture_and_logs_one_line(
    bench: Bench, log: pytest.LogCaptureFixture
) -> None:
    bench.open(deadline=0.3)
    bench.device.hangs = True
    with ThreadPoolExecutor(4) as pool:
        assert all(answer is FROM_CPU for answer in pool.map(lambda _: bench.run(), range(4)))
    assert bench.degraded == [True]
    assert len(log.messages) == len(bench.waits) == 1


def test_does_not_blame_the_device_if_the_cpu_fails_too(bench: Bench) -> None:
    bench.open()
    bench.device.answer = bench.cpu.answer = LabelingError("a bad model")
    with pytest.raises(LabelingError, match="a bad model"):
        bench.run()
    assert bench.degraded == []


def test_does_not_blame_the_device_if_the_cpu_returns_nan_too(bench: Bench) -> None:
    bench.open()
    bench.device.answer = bench.cpu.answer = np.array([[np.nan, np.nan]], np.float32)
    assert np.isnan(bench.run()).all()
    assert bench.degraded == []


def test_tries_the_device_again_after_1_5_and_30_minutes_and_then_every_30(bench: Bench) -> None:
    bench.start_error = ModelError("no such driver")
    bench.open()
    assert [bench.try_again() / 60 for _ in range(5)] == [1, 5, 30, 30, 30]
    assert bench.degraded == [True]


def test_logs_a_recovery_and_uses_the_device_again(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    bench.start_error = ModelError("no such driver")
    bench.open()
    bench.start_error = None
    log.clear()
    bench.try_again()
    assert bench.run() is FROM_DEVICE
    assert bench.degraded == [True, False]
    assert log.messages == ["FancyExecutionProvider: works again, labeling on it"]
    assert bench.waits == []


def test_a_device_that_fails_again_soon_waits_longer(bench: Bench) -> None:
    bench.open()
    waits = []
    for _ in range(3):
        fails(bench.device)
        bench.run()
        bench.device.answer = FROM_DEVICE
        waits.append(bench.try_again() / 60)
    assert waits == [1, 5, 30]


def test_a_device_that_has_worked_for_long_is_tried_again_soon(bench: Bench) -> None:
    bench.open()
    for _ in range(2):
        bench.now += 3600
        fails(bench.device)
        bench.run()
        bench.device.answer = FROM_DEVICE
        assert bench.try_again() == 60


def test_does_not_try_a_device_at_first_that_killed_the_program(bench: Bench) -> None:
    bench.open(trouble="the program has died while it was in use", failures=2)
    assert bench.run() is FROM_CPU
    assert bench.degraded == [True]
    assert bench.try_again() / 60 == 5
    assert bench.run() is FROM_DEVICE


def test_stops_trying_a_device_that_keeps_hanging(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    bench.open(deadline=0.05)
    bench.device.hangs = True
    for _ in range(MOST_HUNG - 1):
        bench.run()
        bench.try_again()
    bench.run()
    assert bench.waits == []
    assert log.messages[-1].endswith("labeling on the CPU, until a restart: it has hung too often")


def test_an_unexpected_error_at_a_try_does_not_end_the_tries(bench: Bench, log: pytest.LogCaptureFixture) -> None:
    bench.open(trouble="gone")
    bench.start_error = RuntimeError("a bug")
    bench.try_again()
    assert len(bench.waits) == 1
    assert "a bug" in log.text


def test_does_not_try_again_after_close(bench: Bench) -> None:
    bench.open(trouble="gone")
    bench.runner.close()
    bench.try_again()
    assert bench.degraded == [True]
    assert bench.cpu.closed


def test_close_releases_the_device(bench: Bench) -> None:
    bench.open().close()
    assert bench.device.closed


def test_calls_the_device_on_one_thread_per_calling_thread(bench: Bench) -> None:
    """Some providers keep expensive resources for each thread."""
    bench.open()
    threads = set()
    run = bench.device.run

    def noting(outputs: Sequence[str], feeds: Mapping[str, Tensor]) -> Sequence[Tensor]:
        threads.add(threading.get_ident())
        return run(outputs, feeds)

    bench.device.run = noting  # type: ignore[method-assign]  # a fake's
    for _ in range(5):
        bench.run()
    assert len(threads) == 1
