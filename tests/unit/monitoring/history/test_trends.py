"""Numbers over time: what is counted, restarts, crashes, damage, clocks that jump, and the bound of a slot."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from camiohookd.monitoring.activity import DeliveryTried, EventAccepted, EventDone, EventFailed
from camiohookd.monitoring.history import buckets, quantiles
from camiohookd.monitoring.history.buckets import MAX_LABELS, OTHERS, Bucket
from camiohookd.monitoring.history.ring import SLOT_BYTES, Ring
from camiohookd.monitoring.history.trends import MINUTES, MOST_LABELS, TENS, Sample, TrendRecorder, count
from camiohookd.monitoring.history.views import Span
from camiohookd.pictures.detections import Box, Detection
from tests.support.history_events import labeled_event

HOUR, DAY, YEAR = 3600, 86400, 365 * 86400
NOW = 1_800_000_000.0  # the start of a minute, and of ten
SAMPLE = Sample(7, "cpu", degraded=False)


def accept(trends: TrendRecorder, at: float, times: int = 1) -> None:
    for nth in range(times):
        count(trends.now(at), EventAccepted(str(nth), "front", at, 1, 0))


def test_counts_what_happens_in_the_minute_in_which_it_happens(tmp_path: Path) -> None:
    trends = TrendRecorder(tmp_path)
    accept(trends, NOW - 60, 3)
    bucket = trends.now(NOW)
    count(bucket, labeled_event(1, files=(b"", b"")))
    count(bucket, DeliveryTried("1", "front", NOW, 1, 0.2, "transient", 503, "answered 503", 5.0))
    count(bucket, EventDone("1", "front", NOW, 3.0))
    count(bucket, EventFailed("2", "front", NOW, "refused", "404"))
    trends.sample(NOW, SAMPLE)
    trends.sample(NOW + 5, SAMPLE._replace(depth=2))
    found = trends.read("hour", NOW + 59)
    assert (found.step, len(found.times), found.times[-1]) == (60, 60, NOW)
    assert found.accepted[-2:] == (3, 0)
    assert found.accepted[:-2] == (None,) * 58
    assert (found.labelled[-1], found.pictures[-1], found.delivered[-1], found.failed[-1]) == (1, 2, 1, 1)
    assert (found.depth[-1], found.device[-1], found.degraded[-1]) == (7, "cpu", False)
    assert found.labels == {"person": (*(None,) * 58, 0, 1)}
    for told, meant in (
        (found.wait_p50, 0.5),
        (found.label_p95, 0.1),
        (found.delivery_p50, 0.2),
        (found.total_p95, 3.0),
    ):
        assert told[-1] == pytest.approx(meant, rel=0.13)
        assert told[-2] is None


@pytest.mark.parametrize(("span", "step", "points"), [("hour", 60, 60), ("day", 300, 288), ("week", 1800, 336)])
def test_each_span_has_few_enough_points_for_a_phone(tmp_path: Path, span: Span, step: int, points: int) -> None:
    found = TrendRecorder(tmp_path).read(span, NOW + 123)
    assert (found.step, len(found.times)) == (step, points)
    assert len(found.accepted) == len(found.wait_p95) == len(found.device) == points
    assert found.times[-1] <= NOW + 123 < found.times[-1] + step
    assert [later - earlier for earlier, later in zip(found.times, found.times[1:], strict=False)] == [step] * (
        points - 1
    )


def test_a_day_and_a_week_sum_up_the_minutes(tmp_path: Path) -> None:
    trends = TrendRecorder(tmp_path)
    for minute in range(3 * 24 * 60):
        accept(trends, NOW + 60 * minute)
    end = NOW + 3 * DAY - 1
    assert trends.read("hour", end).accepted == (1,) * 60
    assert trends.read("day", end).accepted == (5,) * 288
    week = trends.read("week", end).accepted
    assert week[-3 * 48 :] == (30,) * (3 * 48)
    assert week[: 4 * 48] == (None,) * (4 * 48)
    files = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert files["minutes.ring"] <= MINUTES * SLOT_BYTES
    assert files["tens.ring"] <= 7 * 144 * SLOT_BYTES


def test_counting_continues_in_the_same_minute_after_a_restart(tmp_path: Path) -> None:
    for _ in range(3):
        trends = TrendRecorder(tmp_path)
        accept(trends, NOW, 2)
        trends.save()
    assert TrendRecorder(tmp_path).read("hour", NOW).accepted[-1] == 6


def test_a_crash_loses_only_the_current_minute(tmp_path: Path) -> None:
    trends = TrendRecorder(tmp_path)
    for minute in range(9):
        accept(trends, NOW + 60 * minute)
    later = TrendRecorder(tmp_path)  # killed: the ninth minute, and the sum of the ten, were never written
    assert later.read("hour", NOW + HOUR - 1).accepted[:10] == (*(1,) * 8, None, None)
    assert later.read("week", NOW + HOUR - 1).accepted[-2] == 8


@pytest.mark.parametrize("jump", [50 * YEAR, -20 * YEAR, DAY, -DAY, -600, 10 * YEAR, -NOW, -2 * NOW])
def test_counts_survive_a_clock_that_jumps_and_returns(tmp_path: Path, jump: float) -> None:
    trends = TrendRecorder(tmp_path)
    for minute in range(30):
        accept(trends, NOW + 60 * minute)
    for minute in range(5):
        accept(trends, NOW + jump + 60 * minute)
        for span in get_args(Span):
            trends.read(span, NOW + jump + 60 * minute)
    accept(trends, NOW + 60 * 30)
    found = trends.read("hour", NOW + 60 * 30).accepted
    assert sum(each or 0 for each in found) >= 31 - 5  # at most the five slots that were written over
    assert all(each in (None, 1, 2) for each in found)


def test_the_files_never_grow_beyond_their_slots(tmp_path: Path) -> None:
    trends = TrendRecorder(tmp_path)
    for at in (*range(0, 30 * YEAR, YEAR // 5 + 60), *range(int(NOW), int(NOW) + 8 * DAY, HOUR - 60), 2**50, -1):
        accept(trends, at)
    trends.save()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {"minutes.ring", "tens.ring"}
    assert sizes["minutes.ring"] <= MINUTES * SLOT_BYTES
    assert sizes["tens.ring"] <= TENS * SLOT_BYTES


def test_missing_numbers_are_a_gap_instead_of_zeros(tmp_path: Path) -> None:
    trends = TrendRecorder(tmp_path)
    trends.sample(NOW, SAMPLE)
    trends.sample(NOW + 600, SAMPLE)
    found = trends.read("hour", NOW + 600)
    assert found.depth[-11:] == (7, *(None,) * 9, 7)
    assert found.accepted[-11:] == (0, *(None,) * 9, 0)


@pytest.mark.parametrize("seed", range(5))
def test_damage_loses_only_the_damaged_slots(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    trends = TrendRecorder(tmp_path)
    for minute in range(60):
        accept(trends, NOW + 60 * minute)
    trends.save()
    path = tmp_path / "minutes.ring"
    data = bytearray(path.read_bytes())
    first = int(NOW // 60) % MINUTES * SLOT_BYTES
    hit = {chance.randrange(60) for _ in range(10)}
    for slot in hit:
        data[first + slot * SLOT_BYTES + chance.randrange(30)] ^= 0xFF
    path.write_bytes(data)
    found = TrendRecorder(tmp_path).read("hour", NOW + HOUR - 1).accepted
    assert [found[nth] for nth in range(60) if nth not in hit] == [1] * (60 - len(hit))


def test_a_ring_that_cannot_be_written_loses_only_the_numbers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "minutes.ring").mkdir()
    trends = TrendRecorder(tmp_path)
    for minute in range(5):
        accept(trends, NOW + 60 * minute)
    assert trends.read("hour", NOW + 240).accepted[-1] == 1
    assert [record.message.split(":")[0] for record in caplog.records] == ["cannot keep the numbers of the trends"]


def test_the_most_frequent_labels_have_a_curve_and_the_rest_share_one(tmp_path: Path) -> None:
    trends = TrendRecorder(tmp_path)
    for number in range(30):
        found = tuple(Detection(f"label {nth}", 0.9, Box(0, 0, 9, 9)) for nth in range(30 - number))
        count(trends.now(NOW), labeled_event(number, found=found))
    labels = trends.read("hour", NOW).labels
    assert list(labels) == [*(f"label {nth}" for nth in range(MOST_LABELS)), OTHERS]
    assert (labels["label 0"][-1], labels["label 7"][-1]) == (30, 23)


texts = st.text(max_size=60)
histograms = st.dictionaries(st.integers(0, 110), st.integers(1, 10**9), max_size=111)


@given(
    st.integers(0, 2**34),
    st.dictionaries(texts, st.integers(1, 10**9), max_size=200),
    st.tuples(histograms, histograms, histograms, histograms),
    texts,
)
def test_any_bucket_fits_in_a_slot_and_keeps_its_sums(
    number: int, labels: dict[str, int], found: tuple[dict[int, int], ...], device: str
) -> None:
    wait, label, delivery, total = found
    bucket = Bucket(number, labels=labels, device=device, wait=wait, label=label, delivery=delivery, total=total)
    content = buckets.encode(bucket)
    assert len(content) <= buckets.CONTENT_BYTES
    back = buckets.decode(content)
    assert back.number == number
    assert sum(back.labels.values()) == sum(labels.values())
    assert [sum(each.values()) for each in (back.wait, back.label, back.delivery, back.total)] == [
        sum(each.values()) for each in found
    ]


def test_a_bucket_counts_labels_beyond_the_bound_as_others() -> None:
    bucket = Bucket(1)
    for nth in range(MAX_LABELS + 5):
        bucket.count_label(f"label {nth}")
    assert len(bucket.labels) == MAX_LABELS + 1
    assert bucket.labels[OTHERS] == 5


@given(st.lists(st.floats(0.0011, 10**7), min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.95, 1.0]))
def test_quantiles_are_exact_to_an_eighth(seconds: list[float], share: float) -> None:
    histogram: dict[int, int] = {}
    for each in seconds:
        quantiles.count(histogram, each)
    ordered = sorted(seconds)
    exact = ordered[max(-(-int(share * 1000) * len(ordered) // 1000) - 1, 0)]
    told = quantiles.quantile(histogram, share)
    assert told is not None
    assert exact / 1.13 <= told <= exact * 1.13


@pytest.mark.parametrize("seconds", [-5.0, 0.0, float("nan"), 1e300, float("inf")])
def test_impossible_durations_are_counted_in_the_outer_bins(seconds: float) -> None:
    histogram: dict[int, int] = {}
    quantiles.count(histogram, seconds)
    assert list(histogram) in ([0], [110])


class RingAgainstModel(RuleBasedStateMachine):
    """A ring of eight slots tells what a dictionary of the latest number of each slot tells."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.path = Path(self.folder.name) / "ring"
        self.slots: dict[int, Bucket] = {}
        self.reopen()

    @rule()
    def reopen(self) -> None:
        self.ring = Ring(self.path, 8)

    @rule(number=st.integers(0, 40), accepted=st.integers(0, 9))
    def write(self, number: int, accepted: int) -> None:
        bucket = Bucket(number, accepted=accepted)
        self.ring.write(bucket)
        self.slots[number % 8] = bucket

    @rule(slot=st.integers(0, 7), length=st.integers(0, SLOT_BYTES - 1))
    def tear(self, slot: int, length: int) -> None:
        """A power cut leaves the first part of a slot as it is written, and what was there before behind it."""
        if slot in self.slots:
            with self.path.open("r+b") as file:
                file.seek(slot * SLOT_BYTES + 12)
                old = file.read(1)
                file.seek(slot * SLOT_BYTES + 12)
                file.write(bytes([old[0] ^ (1 + length % 255)]))
            del self.slots[slot]

    @invariant()
    def tells_what_was_written(self) -> None:
        for number in range(41):
            bucket = self.slots.get(number % 8)
            expected = bucket if bucket is not None and bucket.number == number else None
            assert self.ring.read(number) == expected
        known = {each.number: each for each in self.slots.values()}
        for until in (7, 20, 40):
            assert self.ring.last(until, 8) == {n: each for n, each in known.items() if until - 8 < n <= until}

    def teardown(self) -> None:
        self.folder.cleanup()


TestRingAgainstModel = RingAgainstModel.TestCase
TestRingAgainstModel.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
