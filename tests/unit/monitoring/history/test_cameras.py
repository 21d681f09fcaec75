"""When a camera sends, what is usual, and since when it is silent."""

from pathlib import Path

import pytest

from camiohookd.monitoring.history.cameras import DAYS, MAX_CAMERAS, MAX_LABELS, CameraBook
from camiohookd.monitoring.history.views import CameraView
from camiohookd.system.disk import Disk

HOUR, DAY = 3600.0, 86400.0
START = 1_800_000_000.0


def open_book(folder: Path) -> CameraBook:
    return CameraBook(folder / "cameras.json", Disk())


def view(book: CameraBook, now: float, name: str = "front") -> CameraView:
    [camera] = [camera for camera in book.all() if camera.name == name]
    return camera.view(now, None)


def days_of_events(book: CameraBook, days: int, pause: float = HOUR, night: float = 8 * HOUR) -> float:
    """Let a camera send every `pause` seconds but for a nightly pause; return when the last one was."""
    at = START
    for day in range(days):
        at = START + day * DAY
        while at < START + (day + 1) * DAY - night:
            book.seen("front", at)
            at += pause
    return at - pause


def test_a_camera_is_silent_after_twice_its_usual_longest_pause(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    last = days_of_events(book, 5)
    pause = view(book, last).usual_pause
    assert pause == pytest.approx(9 * HOUR, abs=HOUR)
    assert pause is not None
    assert view(book, last + 2 * pause - 60).silent_since is None
    assert view(book, last + 2 * pause + 60).silent_since == last
    book.seen("front", last + 3 * pause)
    assert view(book, last + 3 * pause).silent_since is None


def test_one_outage_does_not_make_long_pauses_usual(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    last = days_of_events(book, 5)
    before = view(book, last).usual_pause
    book.seen("front", last + 3 * DAY)
    assert view(book, last + 3 * DAY).usual_pause == before


def test_a_busy_camera_is_not_called_silent_within_the_hour(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    last = days_of_events(book, 4, pause=120, night=0)
    assert view(book, last + 0.9 * HOUR).silent_since is None
    assert view(book, last + 1.1 * HOUR).silent_since == last


def test_a_new_camera_is_not_called_silent(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    for nth in range(100):
        book.seen("front", START + nth)
    assert view(book, START + 100 * DAY).usual_pause is None
    assert view(book, START + 100 * DAY).silent_since is None


@pytest.mark.parametrize("jump", [50 * 365 * DAY, -10 * 365 * DAY])
def test_a_clock_that_jumps_does_not_change_the_usual_pause(tmp_path: Path, jump: float) -> None:
    book = open_book(tmp_path)
    last = days_of_events(book, 5)
    pause = view(book, last).usual_pause
    assert view(book, last + jump).silent_since is None
    book.seen("front", last + jump)
    book.seen("front", last + 60)
    assert view(book, last + 60).usual_pause == pause


def test_keeps_the_pauses_of_two_weeks(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    days_of_events(book, 40)
    [camera] = book.all()
    assert len(camera.pauses) == DAYS


def test_counts_the_events_of_today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    book = open_book(tmp_path)
    midnight = START - START % DAY
    book.seen("front", midnight - 60)
    book.seen("front", midnight + 60)
    book.seen("front", midnight + 120)
    assert (view(book, midnight + 180).today, view(book, midnight + 180).events) == (2, 3)
    assert view(book, midnight + DAY + 60).today == 0


def test_usual_labels_are_those_of_about_the_last_hundred_events(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    for _ in range(500):
        book.labelled("front", START, ["snowman"])
    for nth in range(500):
        book.labelled("front", START, ["person", "car"] if nth % 2 else ["person"])
    usual = view(book, START).usual
    assert [name for name, _ in usual] == ["person", "car"]
    assert [share for _, share in usual] == pytest.approx([1.0, 0.5], abs=0.05)


def test_everything_is_bounded(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    for nth in range(2 * MAX_CAMERAS):
        book.seen(f"camera {nth}", START + nth)
    for nth in range(200):
        book.labelled("front", START + 1000, [f"label {nth}"])
    assert len(book.all()) == MAX_CAMERAS
    assert "camera 0" not in {camera.name for camera in book.all()}
    assert max(len(camera.labels) for camera in book.all()) == MAX_LABELS


def test_survives_a_restart_and_is_written_only_when_something_changed(tmp_path: Path) -> None:
    book = open_book(tmp_path)
    last = days_of_events(book, 5)
    book.labelled(None, last, ["person"])
    book.save()
    path = tmp_path / "cameras.json"
    written = path.stat().st_ino
    book.save()
    assert path.stat().st_ino == written
    again = open_book(tmp_path)
    assert again.all() == book.all()
    again.save()
    assert path.stat().st_ino == written


@pytest.mark.parametrize("damage", [b"", b"no camera", b"00000000 []\n", b'd202ef8d {"name": 1}\n'])
def test_starts_without_statistics_if_the_file_is_damaged(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cameras.json").write_bytes(damage)
    assert open_book(tmp_path).all() == []
    assert "cannot read the statistics of the cameras" in caplog.text
