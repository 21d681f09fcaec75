import pytest

from camiohookd.units import duration, plural, size


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1500, "1.5 kB"),
        (999_499, "999 kB"),
        (999_999, "1 MB"),
        (157_470_720, "157 MB"),
        (200_000_000, "200 MB"),
        (32 * 2**20, "33.6 MB"),
        (20e9, "20 GB"),
        (3.25e12, "3.25 TB"),
    ],
)
def test_a_size_has_three_digits_and_a_unit(count: float, written: str) -> None:
    assert size(count) == written


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0 deliveries"), (1, "1 delivery"), (2, "2 deliveries"), (1000, "1,000 deliveries")]
)
def test_a_number_has_its_noun_in_the_right_form(count: int, written: str) -> None:
    assert plural(count, "delivery", "deliveries") == written
    assert plural(count, "event") == written.replace("deliveries", "events").replace("delivery", "event")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.04, "40 ms"),
        (0.9999, "1 s"),
        (3.21, "3.2 s"),
        (45, "45 s"),
        (300, "5 min"),
        (7200, "2 h"),
        (7500, "2 h 5 min"),
        (3 * 86400 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
