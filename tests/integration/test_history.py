"""What the daemon remembers for the status page, read from its state folder after a stop and after a kill."""

import io
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from camiohookd.camio.simulator.fake_camio import ReceivedReply, ScriptedResponse
from camiohookd.monitoring.history.archive import Archive
from camiohookd.monitoring.history.views import EventList
from camiohookd.system.disk import Disk
from tests.support.daemon_process import SAMPLES, Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 30.0
KILLS, KILLS_LONG = 2, 40


def archive_of(daemon: Daemon) -> "closing[Archive]":
    return closing(Archive(daemon.state / "history", 500, disk=Disk()))


def events_of(archive: Archive) -> EventList:
    return archive.reader.events(camera=None, label=None, state=None, before=None, limit=200)


def _has_arrived(name: str, arrived: Mapping[str, Sequence[ReceivedReply]]) -> bool:
    return len(arrived[name]) > 0


def _is_logged(daemon: Daemon, text: str) -> bool:
    return text in daemon.log


def _are_on_disk(daemon: Daemon, least: int, kind: str = "event") -> bool:
    """Return whether there are so many records of a kind."""
    folder = daemon.state / "history" / "events"
    return sum(path.read_bytes().count(b'{"kind":"%b"' % kind.encode()) for path in folder.iterdir()) >= least


def test_an_event_is_remembered_from_its_acceptance_to_its_delivery(tmp_path: Path) -> None:
    answers = [ScriptedResponse(503), ScriptedResponse(200)]
    with FakeCamioThread(lambda _, nth: answers[min(nth, 1)]) as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "one", camera="garden")
        camio.wait_until(lambda arrived: len(arrived["one"]) == 2, PATIENCE)
        daemon.wait_until(partial(_are_on_disk, daemon, 1, "thumbnail"))
        post_event(daemon, camio, "bad", pictures=[b"no picture"])
        daemon.wait_until(partial(_is_logged, daemon, "failed task=2"))
        assert daemon.stop() == 0
        with archive_of(daemon) as archive:
            event, failed = archive.reader.event(1), archive.reader.event(2)
            jpeg = archive.reader.thumbnail(1, 0)
            _, camera = archive.reader.cameras(event.summary.received if event else 0)
    assert failed is not None
    assert (failed.summary.state, failed.summary.cause) == ("failed", "no-picture")
    assert "not a JPEG picture" in failed.summary.failure
    assert event is not None
    assert (event.summary.camera, event.summary.state, event.summary.attempts) == ("garden", "delivered", 2)
    assert "cat" in dict(event.summary.labels)
    [picture] = event.pictures
    assert [each.found.label for each in picture.detections if each.left_out is None] == ["cat"]
    assert [(step.what, step.status) for step in event.steps] == [("tried", 503), ("tried", 200), ("done", None)]
    assert event.wait_seconds >= 0
    assert min(event.label_seconds, event.decode_seconds, event.model_seconds) > 0
    assert jpeg is not None
    with Image.open(io.BytesIO(jpeg)) as thumbnail, Image.open(SAMPLES / "chelsea.jpg") as original:
        assert max(thumbnail.size) <= 640
        assert thumbnail.width / thumbnail.height == pytest.approx(original.width / original.height, rel=0.01)
    assert (camera.name, camera.events, camera.picture) == ("garden", 1, ("1", 0))


def test_a_damaged_or_unusable_history_prevents_no_start_and_loses_no_event(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        history = daemon.state / "history"
        deliver(daemon, camio, "one")
        daemon.kill()
        for path in history.rglob("*"):
            if path.is_file():
                path.write_bytes(b"\xff" * 5000)
        daemon.start()
        deliver(daemon, camio, "two")
        assert daemon.stop() == 0
        with archive_of(daemon) as archive:
            assert [event.id for event in events_of(archive).events] == ["2"]
        daemon.environ["CAMIOHOOKD_ADMIN_HISTORY"] = "0"
        daemon.start()
        deliver(daemon, camio, "three")
        assert daemon.stop() == 0
        assert list((history / "events").iterdir()) == []
        shutil.rmtree(history)
        history.write_text("not a folder")
        daemon.start()
        deliver(daemon, camio, "four")
        assert daemon.stop() == 0
        assert "cannot keep events for the status page" in daemon.log
        assert "unexpected" not in daemon.log


def deliver(daemon: Daemon, camio: FakeCamioThread, name: str) -> None:
    post_event(daemon, camio, name)
    camio.wait_until(partial(_has_arrived, name), PATIENCE)


def test_kills_lose_only_the_last_moments(tmp_path: Path, long_run: bool, print_figure: Callable[[str], None]) -> None:
    kills = KILLS_LONG if long_run else KILLS
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin) as daemon:
        for kill in range(kills):
            for nth in range(4):
                deliver(daemon, camio, f"{kill}-{nth}")
            daemon.wait_until(partial(_are_on_disk, daemon, 4 * (kill + 1)))
            post_event(daemon, camio, f"{kill}-late")  # it is somewhere on its way
            post_event(daemon, camio, f"{kill}-later")
            daemon.kill()
            daemon.start()
        camio.wait_until(partial(_has_arrived, f"{kills - 1}-later"), PATIENCE)
        assert daemon.stop() == 0
        with archive_of(daemon) as archive:
            events = events_of(archive).events
            for event in events:
                details = archive.reader.event(int(event.id))
                assert details is not None
                assert "cat" in dict(event.labels)
                for picture in event.thumbnails:
                    jpeg = archive.reader.thumbnail(int(event.id), picture)
                    assert jpeg is not None
                    assert jpeg.startswith(b"\xff\xd8")
        assert "unexpected" not in daemon.log
    assert len(events) >= 4 * kills
    assert {event.state for event in events} <= {"delivered", "labelled"}
    print_figure(f"history: {len(events)} of {6 * kills} events are remembered after {kills} kills")


def test_a_failed_event_that_comes_again_is_remembered_as_tried_again(tmp_path: Path) -> None:
    answers = [ScriptedResponse(403), ScriptedResponse(200)]
    with FakeCamioThread(lambda _, nth: answers[min(nth, 1)]) as camio, Daemon(tmp_path, camio.origin) as daemon:
        post_event(daemon, camio, "one")
        daemon.wait_until(partial(_is_logged, daemon, "failed task=1"))
        assert post_event(daemon, camio, "one")["status"] == "duplicate"
        camio.wait_until(lambda arrived: len(arrived["one"]) == 2, PATIENCE)
        daemon.wait_until(partial(_are_on_disk, daemon, 4, "step"))
        assert daemon.stop() == 0
        with archive_of(daemon) as archive:
            event = archive.reader.event(1)
    assert event is not None
    assert event.summary.state == "delivered"
    assert [step.what for step in event.steps] == ["tried", "failed", "retried", "tried", "done"]
