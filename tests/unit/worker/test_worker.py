"""The worker's loops on a real store, with a labeler and a callback that fail on demand."""

import asyncio
import errno
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import ImageFile

from camiohookd.camio.simulator.fake_camio import FakeCamio, ScriptedResponse
from camiohookd.config.rule import Rule
from camiohookd.delivery import AllowList, Sender, Target
from camiohookd.errors import LabelingError
from camiohookd.labelers import DEFAULT_REQUEST, Findings, Frame, LabelRequest
from camiohookd.monitoring.activity import Activity, DeliveryTried, EventDone, EventLabeled, Occurrence
from camiohookd.monitoring.metrics import Metrics
from camiohookd.next_try import DeliveryOutcome
from camiohookd.pictures.decode import PictureLimits
from camiohookd.queue import commands
from camiohookd.queue.store_thread import StoreThread
from camiohookd.queue.task import Task
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.queue.views import TaskDetails, TaskList
from camiohookd.storage.payload_record import StoredPayload
from camiohookd.system.logs import MAX_LINES_PER_EVENT
from camiohookd.worker.event_labeler import EventLabeler
from camiohookd.worker.label_loop import AHEAD, LABELING_TRIES
from camiohookd.worker.worker import Worker
from tests.support.daemon_process import SAMPLES, event_body
from tests.support.fault_disk import CountingDisk
from tests.support.parsed_event import parse_event
from tests.support.scripted_server import Peer, answering

PATIENCE = 30.0
USUAL_LIMITS = PictureLimits()
CAT = (SAMPLES / "chelsea.jpg").read_bytes()


class Labels:
    """A labeler that fails `failures` times, then finds nothing in each picture."""

    device = "cpu"
    input_size = (300, 300)
    at_once = 1
    default_probability = 0.5

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.calls = 0

    def decode_size(self, request: LabelRequest) -> tuple[int, int]:
        return self.input_size

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.calls += 1
        if self.calls <= self.failures:
            raise LabelingError("the accelerator is gone")
        return Findings([[] for _ in frames])

    def close(self) -> None:
        pass


class Bench:
    """A worker on a queue in `folder`, and a fake Camio."""

    deliveries = 2

    def __init__(
        self,
        folder: Path,
        labeler: Labels,
        camio: FakeCamio,
        allow: list[str] | None = None,
        threads: int = 1,
        limits: PictureLimits = USUAL_LIMITS,
    ) -> None:
        self.camio = camio
        self.disk = CountingDisk()
        self.queue = TaskQueue(folder, backoff=lambda _: 0.01, disk=self.disk)
        self.store = StoreThread(self.queue)
        self.activity = Activity()
        self.worker = Worker(
            self.store,
            event_labeler=EventLabeler(labeler, limits, [Rule()], Metrics()),
            sender=Sender("test"),
            allow_list=AllowList([camio.origin] if allow is None else allow),
            metrics=Metrics(),
            activity=self.activity,
            threads=threads,
            deliveries=self.deliveries,
        )
        self.store.watch(lambda: self.worker.queue_changed(self.queue))

    async def put(self, name: str, pictures: list[bytes] | None = None) -> None:
        event = parse_event(event_body(self.camio.callback_url(name), pictures=pictures))
        await self.store.call(lambda queue: queue.put(event))

    async def task(self, task_id: str) -> TaskDetails:
        answer = await self.store.call(lambda queue: commands.perform(queue, commands.ShowTask(task_id)))
        assert isinstance(answer, TaskDetails)
        return answer

    async def ended(self, task_id: str) -> TaskDetails:
        async with asyncio.timeout(PATIENCE):
            while (task := await self.task(task_id)).state not in ("done", "failed"):
                await asyncio.sleep(0.02)
        return task


def with_bench(
    folder: Path,
    labeler: Labels,
    use: Callable[[Bench], Awaitable[None]],
    allow: list[str] | None = None,
    threads: int = 1,
    limits: PictureLimits = USUAL_LIMITS,
) -> None:
    async def run() -> None:
        camio = FakeCamio()
        await camio.listen()
        bench = Bench(folder, labeler, camio, allow, threads, limits)
        try:
            await use(bench)
            assert await bench.worker.stop(5)
        finally:
            await asyncio.to_thread(bench.store.stop)
            await camio.close()

    asyncio.run(run())


def test_retries_a_labeler_that_fails_for_a_moment(tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one")
        assert (await bench.ended("1")).state == "done"

    labeler = Labels(failures=LABELING_TRIES - 1)
    with_bench(tmp_path, labeler, use)
    assert labeler.calls == LABELING_TRIES


def test_a_task_fails_after_several_labeler_errors_and_can_be_retried(tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one")
        failed = await bench.ended("1")
        assert (failed.cause, failed.has_pictures) == ("labeling", True)
        assert "the accelerator is gone" in failed.reason
        await bench.store.call(lambda queue: queue.redrive(1))
        assert (await bench.ended("1")).state == "done"

    with_bench(tmp_path, Labels(failures=LABELING_TRIES), use)


def test_a_damaged_payload_fails_its_own_task_and_is_set_aside(tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        await bench.put("one")
        await bench.put("two")
        _damage_first_record(tmp_path)
        bench.worker.start()
        assert (await bench.ended("1")).cause == "damaged"
        assert (await bench.ended("2")).state == "done"
        assert bench.store.snapshot.quarantined["payload"] == 1
        await bench.put("one")  # posted again, it is stored again
        assert (await bench.ended("3")).state == "done"

    with_bench(tmp_path, Labels(), use)
    (kept,) = (tmp_path / "quarantine").iterdir()
    assert "task-1" in kept.name


def test_reads_a_payload_again_after_a_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(bench: Bench) -> None:
        await bench.put("one")
        read = bench.store.read_payload
        errors = [OSError(errno.EMFILE, "too many open files"), OSError(errno.EIO, "input/output error")]
        monkeypatch.setattr(bench.store, "read_payload", lambda task: _fail_or(errors, read, task))
        bench.worker.start()
        assert (await bench.ended("1")).state == "done"
        assert bench.store.snapshot.quarantined["payload"] == 0

    with_bench(tmp_path, Labels(), use)


def _fail_or(errors: list[OSError], read: Callable[[Task], StoredPayload], task: Task) -> StoredPayload:
    if errors:
        raise errors.pop()
    return read(task)


def test_retries_a_delivery_after_an_unexpected_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver, errors = Sender.deliver, [RuntimeError("out of threads")]

    def fail_once(sender: Sender, target: Target, body: bytes) -> DeliveryOutcome:
        if errors:
            raise errors.pop()
        return deliver(sender, target, body)

    monkeypatch.setattr(Sender, "deliver", fail_once)

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one")
        assert (await bench.ended("1")).state == "done"
        assert len(bench.camio.deliveries["one"]) == 1

    with_bench(tmp_path, Labels(), use)


def test_a_failure_on_this_side_does_not_count_against_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_sender: Sender, _target: Target, _body: bytes) -> DeliveryOutcome:
        raise RuntimeError("out of threads")

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one")
        async with asyncio.timeout(PATIENCE):
            while (await bench.task("1")).attempts < 3:
                await asyncio.sleep(0.02)
        down = await bench.store.call(
            lambda queue: [host.health.is_down for host in queue.store.schedule._hosts.values()]
        )
        assert down == [False]
        monkeypatch.undo()
        assert (await bench.ended("1")).state == "done"

    monkeypatch.setattr(Sender, "deliver", fail)
    with_bench(tmp_path, Labels(), use)


def _damage_first_record(folder: Path) -> None:
    (segment,) = (folder / "segments").iterdir()
    data = bytearray(segment.read_bytes())
    data[1000] ^= 0xFF
    segment.write_bytes(data)


def test_a_host_that_is_no_longer_allowed_is_not_called(tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one")
        failed = await bench.ended("1")
        assert failed.cause == "not-allowed"
        assert "allow_hosts" in failed.reason
        assert bench.camio.deliveries["one"] == []

    with_bench(tmp_path, Labels(), use, allow=["camio.com"])


class Hanging(Labels):
    """A labeler that waits with each picture until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.began = threading.Event()
        self.release = threading.Event()

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.began.set()
        assert self.release.wait(PATIENCE)
        return Findings([[] for _ in frames])


def test_a_picture_that_takes_too_long_is_named_by_the_readiness_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camiohookd.worker.label_loop.STALLED_SECONDS", 0.0)
    labeler = Hanging()

    async def use(bench: Bench) -> None:
        bench.worker.start()
        assert bench.worker.stalled() is None
        await bench.put("one")
        await asyncio.to_thread(labeler.began.wait, PATIENCE)
        reason = bench.worker.stalled()
        labeler.release.set()
        assert reason is not None
        assert "task 1" in reason
        await bench.ended("1")

    with_bench(tmp_path, labeler, use)


def test_waiting_for_a_full_disk_does_not_count_as_labeling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The watchdog would end the daemon, and after three such ends the event would fail as poison."""
    monkeypatch.setattr("camiohookd.worker.label_loop.STALLED_SECONDS", 0.0)
    monkeypatch.setattr("camiohookd.queue.store_thread.RETRY_SECONDS", (0.02,))
    labeler = Hanging()

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one")
        await asyncio.to_thread(labeler.began.wait, PATIENCE)
        refused = threading.Semaphore(0)
        bench.disk.fails = lambda call, _path: _refuse(refused) if call == "write" else None
        labeler.release.set()
        for _ in range(3):
            assert await asyncio.to_thread(refused.acquire, timeout=PATIENCE)
        assert bench.worker.stalled() is None
        await until(lambda: bench.store.trouble is not None)  # it is published after the batch
        bench.disk.fails = lambda _call, _path: None
        assert (await bench.ended("1")).state == "done"

    with_bench(tmp_path, labeler, use)
    queue = TaskQueue(tmp_path, backoff=lambda _: 0.01)
    assert not queue.get(1).strikes
    queue.close()


def _refuse(refused: threading.Semaphore) -> OSError:
    refused.release()
    return OSError(errno.ENOSPC, "no space left on device")


def test_dropping_a_task_that_is_in_hand_stops_nothing(tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        await bench.put("one")
        await bench.put("two")
        claimed = await bench.store.call(TaskQueue.claim)
        assert isinstance(claimed, Task)
        await bench.store.call(lambda queue: queue.drop(1))
        await bench.store.persist(lambda queue: queue.give_back(1))
        bench.worker.start()
        assert (await bench.ended("2")).state == "done"
        listed = await bench.store.call(lambda queue: commands.perform(queue, commands.ListTasks()))
        assert isinstance(listed, TaskList)
        assert [task.id for task in listed.tasks] == ["2"]

    with_bench(tmp_path, Labels(), use)


class Gated(Labels):
    """A labeler that waits with each picture for `gate`; `begun` counts the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.begun.release()
        assert self.gate.acquire(timeout=PATIENCE)
        return Findings([[] for _ in frames])

    async def begins(self) -> None:
        assert await asyncio.to_thread(self.begun.acquire, timeout=PATIENCE)


def test_a_single_event_uses_every_thread(tmp_path: Path) -> None:
    labeler = Gated()

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one", pictures=[CAT] * 3)
        for _ in range(3):
            await labeler.begins()
        labeler.gate.release(3)
        assert (await bench.ended("1")).state == "done"

    with_bench(tmp_path, labeler, use, threads=3)


def watch_claims(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Semaphore, threading.Semaphore]:
    """Return a semaphore that counts the claims that were tried, and one that counts those that found an event."""
    looked, claimed, claim = threading.Semaphore(0), threading.Semaphore(0), TaskQueue.claim

    def watched(queue: TaskQueue) -> Task | None:
        looked.release()
        if task := claim(queue):
            claimed.release()
        return task

    monkeypatch.setattr(TaskQueue, "claim", watched)
    return looked, claimed


def test_claims_one_event_ahead_while_one_is_labeled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labeler = Gated()
    _, claimed = watch_claims(monkeypatch)

    async def use(bench: Bench) -> None:
        for number in range(3):
            await bench.put(f"event-{number}")
        bench.worker.start()
        await labeler.begins()
        for _ in range(2):
            assert await asyncio.to_thread(claimed.acquire, timeout=PATIENCE)
        await bench.task("3")  # a third event would have been claimed by now
        assert not claimed.acquire(blocking=False)
        labeler.gate.release(3)
        assert (await bench.ended("3")).state == "done"

    with_bench(tmp_path, labeler, use)


def test_an_event_wakes_one_waiting_loop_and_not_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camiohookd.worker.polling.IDLE_SECONDS", 1000.0)
    looked, _ = watch_claims(monkeypatch)
    loops = 8

    async def use(bench: Bench) -> None:
        bench.worker.start()
        for _ in range(loops):
            assert await asyncio.to_thread(looked.acquire, timeout=PATIENCE)
        await bench.put("one")
        assert (await bench.ended("1")).state == "done"

    with_bench(tmp_path, Labels(), use, threads=loops // 2)
    looks = sum(looked.acquire(blocking=False) for _ in range(loops))
    assert looks < loops


def test_events_that_arrive_together_are_labeled_without_waiting_for_the_idle_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camiohookd.worker.polling.IDLE_SECONDS", 1000.0)

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await asyncio.gather(*(bench.put(f"event-{number}") for number in range(20)))
        for number in range(20):
            assert (await bench.ended(str(number + 1))).state == "done"

    with_bench(tmp_path, Labels(), use, threads=2)


def test_an_event_that_waits_for_another_is_not_reported_as_stalled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labeler, now = Gated(), [0.0]
    _, claimed = watch_claims(monkeypatch)
    monkeypatch.setattr("camiohookd.worker.label_loop.time", SimpleNamespace(monotonic=lambda: now[0]))

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one", pictures=[CAT] * 3)
        await bench.put("two")
        for _ in range(2):
            assert await asyncio.to_thread(claimed.acquire, timeout=PATIENCE)
            await labeler.begins()
        now[0] = 1000.0
        labeler.gate.release()
        await labeler.begins()
        assert bench.worker.stalled() is None
        now[0] = 2000.0
        assert "of task 1 has taken 1000 s" in str(bench.worker.stalled())
        labeler.gate.release(3)
        assert (await bench.ended("2")).state == "done"

    with_bench(tmp_path, labeler, use, threads=2)


@pytest.mark.parametrize(("max_pixels", "state", "decoded"), [(40_000_000, "done", True), (1000, "failed", False)])
def test_decodes_pictures_on_a_label_thread_unless_they_have_too_many_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_pixels: int, state: str, decoded: bool
) -> None:
    threads: set[str] = set()
    load = ImageFile.ImageFile.load

    def noted(image: ImageFile.ImageFile) -> object:
        threads.add(threading.current_thread().name.partition("_")[0])
        return load(image)

    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("one", pictures=[CAT])
        assert (await bench.ended("1")).state == state

    monkeypatch.setattr(ImageFile.ImageFile, "load", noted)
    with_bench(tmp_path, Labels(), use, limits=PictureLimits(max_pixels=max_pixels))
    assert threads == ({"label"} if decoded else set())


def test_retries_a_delivery_at_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camiohookd.worker.polling.IDLE_SECONDS", 1000.0)

    async def use(bench: Bench) -> None:
        bench.camio.answer = lambda _, nth: ScriptedResponse(503 if nth < 3 else 200)
        bench.worker.start()
        await asyncio.gather(*(bench.put(f"event-{number}") for number in range(5)))
        for number in range(5):
            assert (await bench.ended(str(number + 1))).state == "done"

    with_bench(tmp_path, Labels(), use)


def test_an_event_needs_one_turn_of_the_store_thread_for_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, turns, call = 20, [0], StoreThread.call

    async def counted(store: StoreThread, operation: Callable[[TaskQueue], object]) -> object:
        turns[0] += 1
        return await call(store, operation)

    async def use(bench: Bench) -> None:
        for number in range(events):
            await bench.put(f"event-{number}")
        monkeypatch.setattr(StoreThread, "call", counted)
        bench.worker.start()
        async with asyncio.timeout(PATIENCE):
            while bench.store.snapshot.tasks["done"] < events:
                await asyncio.sleep(0.02)

    with_bench(tmp_path, Labels(), use)
    steps = 3  # labeled, with the next one claimed; delivered; landed, with the next one taken
    assert turns[0] <= steps * events + 20, "plus some claims that find nothing"


def test_a_stop_leaves_no_task_in_hand_and_no_delivery_running(tmp_path: Path) -> None:
    async def use(bench: Bench) -> None:
        for number in range(20):
            await bench.put(f"event-{number}")
        bench.worker.start()
        await bench.ended("1")

    with_bench(tmp_path, Labels(), use, threads=2)
    queue = TaskQueue(tmp_path, backoff=lambda _: 0.01)
    assert not queue.store.index.suspects
    while delivery := queue.deliveries.take():
        assert not delivery.maybe_delivered
        queue.deliveries.landed(delivery, success=True)
        queue.drop(int(delivery.task.id))
    queue.close()


def test_an_event_with_many_broken_pictures_writes_few_log_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, print_figure: Callable[[str], None]
) -> None:
    async def use(bench: Bench) -> None:
        bench.worker.start()
        await bench.put("some", pictures=[b"no picture"] * 998 + [CAT])
        assert (await bench.ended("1")).state == "done"
        await bench.put("none", pictures=[b"no picture"] * 999)
        assert (await bench.ended("2")).cause == "no-picture"

    with caplog.at_level("DEBUG", "camiohookd"):
        with_bench(tmp_path, Labels(), use)
    for task, broken in (("task=1 ", 998), ("task=2 ", 999)):
        lines = [record.getMessage() for record in caplog.records if task in record.getMessage()]
        assert len(lines) <= MAX_LINES_PER_EVENT + 3
        assert max(map(len, lines)) < 1000
        print_figure(f"an event with {broken} broken pictures of 999: {len(lines)} log lines")
    assert "task=1 and 978 more such lines" in caplog.text


def put_on(bench: Bench, url: str, camera: str = "front") -> Awaitable[object]:
    event = parse_event(event_body(url, camera=camera, pictures=[CAT]))
    return bench.store.call(lambda queue: queue.put(event))


def test_a_slow_host_leaves_a_slot_to_waiting_hosts(tmp_path: Path) -> None:
    """Count the slow host's answers: the other host's first delivery waits for one of them at most."""
    gate, answer = threading.Semaphore(0), answering(200)

    def slow(connection: socket.socket) -> None:
        assert gate.acquire(timeout=PATIENCE)
        answer(connection)

    async def use(bench: Bench) -> None:
        bench.worker.start()
        for number in range(10):
            await put_on(bench, f"http://127.0.0.1:{slow_host.port}/{number}", camera=f"camera {number}")
        await until(lambda: len(slow_host.requests) == bench.deliveries)
        for number in range(5):
            await put_on(bench, f"http://127.0.0.1:{quick_host.port}/{number}", camera=f"camera {number}")
        while (await bench.task("15")).state != "labelled":
            await asyncio.sleep(0.02)
        assert quick_host.requests == [], "no slot is free"
        gate.release()
        await until(lambda: len(quick_host.requests) == 5)
        assert len(slow_host.requests) <= bench.deliveries + 1, "the slow host may have the slot once no other waits"
        gate.release(100)
        await until(lambda: bench.store.snapshot.tasks["done"] == 15)

    with closing(Peer(slow)) as slow_host, closing(Peer(answer)) as quick_host:
        allowed = [f"http://127.0.0.1:{host.port}" for host in (slow_host, quick_host)]
        with_bench(tmp_path, Labels(), use, allow=allowed)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


def test_a_storm_of_one_camera_delays_another_cameras_event_by_the_events_in_hand_only(tmp_path: Path) -> None:
    labeler, storm = Gated(), 30

    async def use(bench: Bench) -> None:
        for number in range(storm):
            await put_on(bench, bench.camio.callback_url(f"storm-{number}"), camera="storm")
        bench.worker.start()
        await labeler.begins()
        await put_on(bench, bench.camio.callback_url("quiet"), camera="quiet")
        labelled_before = 0
        while (await bench.task(str(storm + 1))).state == "pending":
            labeler.gate.release()
            labelled_before += 1
            await labeler.begins()
        labeler.gate.release(storm)
        assert labelled_before - 1 <= AHEAD + 1, "those in hand, and the one that was claimed with the last reply"
        assert (await bench.ended(str(storm))).state == "done"

    with_bench(tmp_path, labeler, use)


def test_publishes_what_happens_to_an_event_with_its_pictures(tmp_path: Path) -> None:
    told: list[Occurrence] = []

    async def use(bench: Bench) -> None:
        bench.activity.subscribe(told.append)
        bench.camio.answer = lambda _, nth: ScriptedResponse(503 if nth == 0 else 200)
        bench.worker.start()
        await bench.put("one", pictures=[CAT, b"no picture"])
        await bench.ended("1")
        await until(lambda: isinstance(told[-1], EventDone))

    with_bench(tmp_path, Labels(), use)
    labelled, refused, delivered, done = told
    assert isinstance(labelled, EventLabeled)
    assert [picture.file for picture in labelled.pictures] == [CAT]
    assert (labelled.task_id, labelled.device, labelled.summary) == ("1", "cpu", "nothing")
    assert "the file is not a JPEG picture" in labelled.rejected[0]
    assert isinstance(refused, DeliveryTried)
    assert (refused.attempt, refused.outcome, refused.status) == (1, "transient", 503)
    assert refused.next_seconds is not None
    assert isinstance(delivered, DeliveryTried)
    assert (delivered.attempt, delivered.outcome, delivered.next_seconds) == (2, "delivered", None)
    assert isinstance(done, EventDone)
    assert done.seconds >= 0


class Spare(Labels):
    """A labeler that notes how many of eight optional steps it may take at each call."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[int] = []

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        self.steps.append(request.spare(8))
        return super().label(frames, request)


def test_nothing_is_spent_on_looking_closely_while_many_events_wait(tmp_path: Path) -> None:
    labeler = Spare()

    async def use(bench: Bench) -> None:
        for nth in range(6):
            await bench.put(f"e{nth}", [CAT])
        bench.worker.start()
        await bench.ended("6")
        await bench.put("alone", [CAT])
        await bench.ended("7")

    with_bench(tmp_path, labeler, use)
    assert labeler.steps[0] == 0
    assert labeler.steps[-1] == 8
    assert labeler.steps == sorted(labeler.steps)
