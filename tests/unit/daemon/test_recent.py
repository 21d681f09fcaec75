import pytest

from camiohookd.daemon.recent import CAMERAS, SAMPLES, LastHour, Recent, Samples
from camiohookd.monitoring.activity import DeliveryTried, EventAccepted
from camiohookd.monitoring.status import Spread
from tests.support.occurrences import labeled


def test_without_samples_there_is_no_spread() -> None:
    assert Samples().spread() is None


@pytest.mark.parametrize(
    ("seconds", "spread"),
    [
        ([3.0], Spread(1, 3.0, 3.0)),
        ([2.0, 1.0], Spread(2, 1.0, 2.0)),
        (list(range(100, 0, -1)), Spread(100, 50, 95)),
    ],
)
def test_the_spread_is_that_of_the_nearest_ranks(seconds: list[float], spread: Spread) -> None:
    samples = Samples()
    for each in seconds:
        samples.add(each)
    assert samples.spread() == spread


def test_only_the_last_samples_count() -> None:
    samples = Samples()
    for _ in range(SAMPLES):
        samples.add(100.0)
    for _ in range(SAMPLES):
        samples.add(1.0)
    assert samples.spread() == Spread(SAMPLES, 1.0, 1.0)


def test_the_last_hour_drops_older_events() -> None:
    now = 100_000.0
    hour = LastHour(lambda: now)
    for _ in range(3):
        hour.add()
    now += 1800
    hour.add()
    assert hour.count() == 4
    now += 1801
    assert hour.count() == 1
    now += 3600
    assert hour.count() == 0


def test_accepted_events_and_delivery_tries_are_counted() -> None:
    recent = Recent()
    recent.notice(EventAccepted("1", "front", 0.0, 1, 0))
    recent.notice(DeliveryTried("1", "front", 0.0, 1, 0.25, "delivered", 200, "answered 200", None))
    assert (recent.accepted.count(), recent.delivery.spread()) == (1, Spread(1, 0.25, 0.25))
    assert recent.wait.spread() is None


def test_the_last_event_of_a_bounded_number_of_cameras_is_kept() -> None:
    recent = Recent()
    for number in range(CAMERAS + 1):
        recent.notice(labeled(f"camera {number}", at=float(number)))
    recent.notice(labeled("camera 1", at=1000.0, summary="cat 0.90"))
    cameras = recent.cameras()
    assert len(cameras) == CAMERAS
    assert cameras[0][0] == "camera 1"
    assert (cameras[0][1].at, cameras[0][1].labels) == (1000.0, "cat 0.90")
    assert "camera 0" not in dict(cameras)
