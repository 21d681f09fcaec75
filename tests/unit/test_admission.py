"""Who may post, and how much at once."""

import pytest

from camiohookd.web.admission import Keys, Room
from camiohookd.web.answers import Refused


def test_each_key_is_known_by_its_name() -> None:
    keys = Keys({"home": "first-key", "barn": "zweiter-schlüssel"})
    assert keys.name_of(b"first-key") == "home"
    assert keys.name_of("zweiter-schlüssel".encode()) == "barn"


@pytest.mark.parametrize("offered", [b"", b"first-ke", b"first-key ", b"FIRST-KEY", b"\xff\x00", b"x" * 10_000])
def test_anything_else_is_no_key(offered: bytes) -> None:
    assert Keys({"home": "first-key"}).name_of(offered) is None
    assert Keys({}).name_of(offered) is None


def test_whether_a_key_fits_is_decided_by_the_comparison_whose_time_tells_nothing(
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


def test_what_is_taken_is_not_there_for_others_until_it_is_given_back() -> None:
    room = Room(100)
    room.take(60)
    with pytest.raises(Refused) as refusal:
        room.take(41)
    assert refusal.value.answer.status == 503
    assert refusal.value.answer.retry_after
    room.give_back(60)
    room.take(100)
