"""API keys, and the wait after wrong keys."""

import pytest

from camiohookd.web.keys import LONGEST_WAIT, Keys, WrongKeyLimiter


def test_each_key_is_known_by_its_name() -> None:
    keys = Keys({"home": "first-key", "barn": "zweiter-schlüssel"})
    assert keys.name_of(b"first-key") == "home"
    assert keys.name_of("zweiter-schlüssel".encode()) == "barn"


@pytest.mark.parametrize("offered", [b"", b"first-ke", b"first-key ", b"FIRST-KEY", b"\xff\x00", b"x" * 10_000])
def test_rejects_any_other_key(offered: bytes) -> None:
    assert Keys({"home": "first-key"}).name_of(offered) is None
    assert Keys({}).name_of(offered) is None


def test_compares_keys_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(key: bytes, offered: bytes) -> bool:
        compared.append((key, offered))
        return key == b"second"

    monkeypatch.setattr("hmac.compare_digest", compare)
    keys = Keys({"one": "first", "two": "second", "three": "third"})
    assert keys.name_of(b"third") == "two"
    assert compared == [(b"first", b"third"), (b"second", b"third"), (b"third", b"third")], "it goes on after a hit"


def test_replaced_keys_are_rejected() -> None:
    keys = Keys({"home": "first-key"})
    keys.replace({"barn": "second-key"})
    assert keys.name_of(b"first-key") is None
    assert keys.name_of(b"second-key") == "barn"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_wait_doubles_with_every_wrong_key_over_the_allowed_ones_up_to_an_hour() -> None:
    guesses = WrongKeyLimiter(2)
    assert [guesses.count("them") for _ in range(8)] == [0, 0, 1, 2, 4, 8, 16, 32]
    for _ in range(100):
        longest = guesses.count("them")
    assert longest == LONGEST_WAIT == 3600
    assert guesses.count("others") == 0


def test_does_not_count_unknown_clients() -> None:
    guesses = WrongKeyLimiter(0)
    assert [guesses.count(None) for _ in range(5)] == [0] * 5
    assert len(guesses) == 0


def test_forgets_a_client_an_hour_after_its_wait() -> None:
    clock = Clock()
    guesses = WrongKeyLimiter(1, clock=clock)
    assert [guesses.count("them") for _ in range(4)] == [0, 1, 2, 4]
    clock.now += 4 + LONGEST_WAIT - 1
    assert guesses.count("them") == 8
    clock.now += 8 + LONGEST_WAIT
    assert guesses.count("them") == 0


def test_remembers_only_the_latest_clients() -> None:
    guesses = WrongKeyLimiter(1, remembered=100)
    for number in range(10_000):
        guesses.count(f"10.0.{number >> 8}.{number & 255}")
        guesses.count("the one that goes on")
    assert len(guesses) == 100
    assert guesses.count("the one that goes on") == LONGEST_WAIT
