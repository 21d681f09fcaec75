"""The history on the event loop: what it hears, thumbnails within their budget, and its end."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
from PIL import Image

from camiohookd.errors import PictureError, StoreUnavailable
from camiohookd.monitoring.activity import Activity, EventAccepted, EventDone
from camiohookd.monitoring.history.archive import Archive
from camiohookd.monitoring.history.history import History
from camiohookd.monitoring.history.records import LEAST_PROBABILITY, Step
from camiohookd.monitoring.history.trends import Sample
from camiohookd.monitoring.history.waiting import Job
from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.memory import MemoryBudget, NoRoom
from camiohookd.pictures.thumbnail import thumbnail
from camiohookd.system.disk import Disk
from tests.support.history_events import HEIGHT, NOW, WIDTH, labeled_event

PATIENCE = 30.0


class Box:
    """A history in `folder` that remembers what `activity` tells."""

    def __init__(self, folder: Path, keep: int = 500) -> None:
        self.activity = Activity()
        self.busy = False
        self.known: Mapping[int, Step | None] = {}
        self.made: list[int] = []
        self.make: Callable[[Job], bytes] = lambda job: job.file
        self.changed: list[str] = []
        self.history = History(
            lambda: Archive(folder / "history", keep, disk=Disk()),
            self._make,
            keep=keep,
            busy=lambda: self.busy,
            sample=lambda: Sample(3, "cpu", degraded=False),
            settled=self._settled,
            clock=lambda: NOW,
        )
        self.history.watch(self.changed.append)

    def _make(self, job: Job) -> bytes:
        self.made.append(job.task_id)
        return self.make(job)

    async def _settled(self, task_ids: list[int]) -> Mapping[int, Step | None]:
        return {task_id: step for task_id, step in self.known.items() if task_id in task_ids}

    async def thumbnail(self, task_id: int, picture: int = 0) -> bytes:
        async with asyncio.timeout(PATIENCE):
            while (found := await self.history.thumbnail(task_id, picture)) is None:
                await asyncio.sleep(0.01)
        return found


def with_box(folder: Path, use: Callable[[Box], Awaitable[None]], keep: int = 500) -> None:
    async def run() -> None:
        box = Box(folder, keep)
        box.history.start(box.activity)
        try:
            await use(box)
        finally:
            await box.history.close()

    asyncio.run(run())


def test_records_published_events_with_thumbnails_and_notifies_watchers(tmp_path: Path) -> None:
    async def use(box: Box) -> None:
        assert box.activity.least_probability == LEAST_PROBABILITY
        box.activity.publish(EventAccepted("1", "front", NOW, 1, 0))
        box.activity.publish(EventAccepted("2", "front", NOW, 1, 0))  # not labeled yet, so that nothing is shown of it
        box.activity.publish(labeled_event(1, files=(b"a file",)))
        box.activity.publish(EventDone("1", "front", NOW, 2.0))
        assert await box.thumbnail(1) == b"a file"
        [event] = (await box.history.events(camera="front", label="person", state="delivered")).events
        assert (event.id, event.thumbnails) == ("1", (0,))
        details = await box.history.event(1)
        assert details is not None
        assert (await box.history.replay(1, details.rule)) is not None
        assert [camera.picture for camera in await box.history.cameras()] == [("1", 0)]
        assert len(await box.history.detections("front")) == 2
        trends = await box.history.trends("hour")
        assert (trends.accepted[-1], trends.labelled[-1], trends.delivered[-1]) == (2, 1, 1)
        assert (trends.depth[-1], trends.device[-1]) == (3, "cpu")
        assert set(box.changed) == {"1"}
        assert box.history.written == sum(file.stat().st_size for file in (tmp_path / "history/events").iterdir())

    async def again(box: Box) -> None:
        assert [event.id for event in (await box.history.events()).events] == ["1"]

    with_box(tmp_path, use)
    with_box(tmp_path, again)


def test_notifies_watchers_only_when_the_event_can_be_read(tmp_path: Path) -> None:
    async def use(box: Box) -> None:
        told: asyncio.Queue[str] = asyncio.Queue()
        end = box.history.watch(told.put_nowait)
        box.activity.publish(labeled_event(5))
        assert await asyncio.wait_for(told.get(), PATIENCE) == "5"
        assert await box.history.event(5) is not None
        end()
        box.activity.publish(EventDone("5", "front", NOW, 2.0))
        await box.history.event(5)
        assert told.empty()

    with_box(tmp_path, use)


@pytest.mark.parametrize("events_wait", [True, False], ids=["events wait", "the next one is expected"])
def test_while_there_are_events_to_label_thumbnails_take_a_small_share_of_the_time(
    events_wait: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use(box: Box) -> None:
        box.busy = events_wait
        for number in range(1, 6):
            box.activity.publish(labeled_event(number, files=(b"a file",)))
        await box.thumbnail(5)  # the newest first, at once
        await box.history.event(1)
        assert box.made == [5]
        box.busy = False
        monkeypatch.setattr("camiohookd.monitoring.history.thumbnails.QUIET_SECONDS", 0.0)
        box.activity.publish(labeled_event(6))
        await box.thumbnail(1)
        assert box.made == [5, 4, 3, 2, 1]

    monkeypatch.setattr("camiohookd.monitoring.history.thumbnails.LOOK_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr("camiohookd.monitoring.history.thumbnails.QUIET_SECONDS", 0.0 if events_wait else 1000.0)
    seconds = iter(range(100))  # each takes a second, and 99 of rest follow
    monkeypatch.setattr("camiohookd.monitoring.history.thumbnails.time.thread_time", lambda: float(next(seconds)))
    with_box(tmp_path, use)


def test_a_failed_thumbnail_does_not_affect_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = [NoRoom(), PictureError("it is damaged"), RuntimeError("a fault")]

    def make(job: Job) -> bytes:
        if errors:
            raise errors.pop(0)
        return job.file

    async def use(box: Box) -> None:
        box.make = make
        box.activity.publish(labeled_event(1, files=(b"1", b"2", b"3", b"4")))
        assert await box.thumbnail(1, 3) == b"4"
        assert await box.history.thumbnail(1, 0) is None

    with_box(tmp_path, use)
    assert [record.message for record in caplog.records] == ["unexpected error while making a thumbnail of event 1"]


def test_corrects_states_at_the_start_after_a_crash(tmp_path: Path) -> None:
    async def before(box: Box) -> None:
        for number in (1, 2, 3):
            box.activity.publish(labeled_event(number))
        await box.history.events()

    async def after(box: Box) -> None:
        box.known = {1: Step(what="done", at=NOW), 2: None}
        async with asyncio.timeout(PATIENCE):
            while (await box.history.events(state="labelled")).events[0].id != "3":
                await asyncio.sleep(0.01)
            while len((await box.history.events(state="labelled")).events) > 1:
                await asyncio.sleep(0.01)
        assert [event.id for event in (await box.history.events(state="delivered")).events] == ["1"]
        assert [event.id for event in (await box.history.events(state="unknown")).events] == ["2"]

    with_box(tmp_path, before)
    with_box(tmp_path, after)


def test_makes_no_thumbnail_if_no_event_is_to_be_kept(tmp_path: Path) -> None:
    async def use(box: Box) -> None:
        assert box.activity.least_probability == 1.0
        box.activity.publish(labeled_event(1, files=(b"a file",)))
        assert (await box.history.events()).events == ()
        assert (await box.history.trends("hour")).labelled[-1] == 1
        assert box.made == []

    with_box(tmp_path, use, keep=0)


def test_an_unusable_folder_disables_only_the_history(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def use(box: Box) -> None:
        box.activity.publish(labeled_event(1, files=(b"a file",)))
        with pytest.raises(StoreUnavailable, match="the history cannot be read"):
            await box.history.events()

    (tmp_path / "history").write_text("not a folder")
    with_box(tmp_path, use)
    assert "cannot keep events for the status page" in caplog.text


def test_a_hanging_disk_loses_occurrences_but_does_not_block_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("camiohookd.monitoring.history.gatherer.MOST_HEARD", 10)
    is_held, go_on = threading.Event(), threading.Event()

    def hold(job: Job) -> bytes:
        is_held.set()
        go_on.wait(PATIENCE)
        return job.file

    async def use(box: Box) -> None:
        box.make = hold
        box.activity.publish(labeled_event(1, files=(b"a file",)))
        await asyncio.to_thread(is_held.wait, PATIENCE)
        for number in range(2, 31):
            box.activity.publish(labeled_event(number))
        go_on.set()
        page = await box.history.events()
        assert [int(event.id) for event in page.events] == list(range(11, 0, -1))  # the first, and ten that waited

    with_box(tmp_path, use)


def jpeg(size: tuple[int, int], quality: int = 90) -> bytes:
    file = io.BytesIO()
    noise = Image.effect_noise(size, 80).convert("RGB")
    noise.save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "side", "expected"),
    [((1920, 1080), 640, (640, 360)), ((1080, 1920), 640, (360, 640)), ((WIDTH, HEIGHT), 400, (400, 300))],
)
def test_a_thumbnail_has_the_pictures_proportions(size: tuple[int, int], side: int, expected: tuple[int, int]) -> None:
    made = thumbnail(jpeg(size), size, side, PictureLimits(), MemoryBudget(10**9))
    assert Image.open(io.BytesIO(made)).size == expected


def test_a_small_file_is_kept_as_it_is_and_a_turned_one_is_made_upright() -> None:
    file = io.BytesIO()
    picture = Image.new("RGB", (320, 240), "red")
    picture.save(file, "JPEG")
    budget = MemoryBudget(10**9)
    assert thumbnail(file.getvalue(), (320, 240), 640, PictureLimits(), budget) == file.getvalue()
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = io.BytesIO()
    picture.save(turned, "JPEG", exif=exif)
    made = thumbnail(turned.getvalue(), (240, 320), 640, PictureLimits(), budget)
    assert Image.open(io.BytesIO(made)).size == (240, 320)
    assert budget.used == 0


def test_a_thumbnail_waits_for_no_memory_and_a_damaged_file_has_none() -> None:
    budget = MemoryBudget(10_000_000)
    share = budget.reserve(9_999_999)
    with pytest.raises(NoRoom):
        thumbnail(jpeg((WIDTH, HEIGHT)), (WIDTH, HEIGHT), 400, PictureLimits(), budget)
    share.close()
    with pytest.raises(PictureError):
        thumbnail(b"no picture", (WIDTH, HEIGHT), 400, PictureLimits(), budget)
