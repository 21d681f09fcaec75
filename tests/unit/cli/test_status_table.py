import pytest

from camiohookd.cli.status.table import WIDTH, lines
from camiohookd.monitoring.status import CameraEvent, QueueStatus, RecentError, Spread, StatusReport
from camiohookd.system.clock import iso

LONG = "x" * 200
QUEUE = QueueStatus(
    {"pending": 100_000, "labelled": 99_999, "done": 100_000, "failed": 10_000},
    90061.0,
    20 * 10**9,
    3 * 10**9,
    61_234.5,
)


def report(**changes: object) -> StatusReport:
    values: dict[str, object] = {
        "verdict": "works",
        "reasons": [],
        "version": "0.2.0",
        "queue": QUEUE,
        "up_since": iso(1_764_000_000),
        "up_seconds": 7500.0,
        "model": "ssdlite-mobilenet-v2-coco",
        "device": "CPU",
    }
    return StatusReport(**(values | changes))  # type: ignore[arg-type]  # each test names some of them


def test_a_new_service_has_no_times_yet() -> None:
    shown = "\n".join(lines(report()))
    assert shown.startswith("camiohookd 0.2.0: works\nup since")
    assert "(2 h 5 min)" in shown
    assert "model       ssdlite-mobilenet-v2-coco on CPU\n" in shown
    shown = " ".join(shown.split())  # long lines are broken
    assert "the oldest waits 1 d 1 h" in shown
    assert "the queue takes 20 GB, 3 GB free; 61.2 kB written per event" in shown
    assert "no warnings and errors since the start" in shown


def test_times_errors_and_cameras_are_shown() -> None:
    shown = "\n".join(
        lines(
            report(
                wait=Spread(500, 0.02, 12.0),
                delivery=Spread(3, 0.4, 75.0),
                events_last_hour=12,
                errors=[RecentError(iso(1_764_000_000), "warning", "task=3 not delivered", 4)],
                cameras=[CameraEvent("front\n", iso(1_764_000_000), "person 0.92")],
            )
        )
    )
    assert "20 ms          12 s  500 events" in shown
    assert "400 ms         1 min  3 tries" in shown
    assert "12 accepted in the last hour" in shown
    assert "warning: task=3 not delivered (4 times)" in shown
    assert "front\\n" in shown
    assert "person 0.92" in shown


@pytest.mark.parametrize("verdict", ["works", "degraded", "does not work", "not running"])
def test_nothing_is_wider_than_80_columns(verdict: str) -> None:
    wide = report(
        verdict=verdict,
        reasons=[LONG, "because " * 40],
        model=LONG,
        device=LONG,
        errors=[RecentError(iso(0), "error", LONG, 1)] * 20,
        cameras=[CameraEvent(LONG, iso(0), LONG)] * 50,
    )
    shown = lines(wide)
    assert max(map(len, shown)) <= WIDTH
    assert len(shown) < 70


def test_a_stopped_service_shows_its_queue() -> None:
    shown = lines(StatusReport("not running", ["start it"], "0.2.0", QUEUE))
    assert shown[:2] == ["camiohookd 0.2.0: not running", "  start it"]
    assert shown[2].startswith("queue       100000 pending")
    assert not any("up since" in line or "95 %" in line for line in shown)
