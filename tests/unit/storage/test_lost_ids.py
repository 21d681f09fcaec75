"""Whose documents may be lost: told from their neighbours, never of those that were forgotten on purpose."""

from hypothesis import given
from hypothesis import strategies as st

from camiohookd.storage.lost_ids import MAX_SPANS, LostIds, spans


def lost_of(ids: LostIds, below: int = 20) -> list[int]:
    return [number for number in range(1, below) if number in ids]


def test_without_damage_none_are() -> None:
    ids = LostIds()
    for number in (1, 2, 7):
        ids.seen(number)
    assert not ids
    assert lost_of(ids) == []


def test_those_between_the_last_one_seen_and_the_next_may_be() -> None:
    ids = LostIds()
    ids.seen(3)
    ids.damage()
    ids.seen(2)  # of an older line: it tells nothing
    ids.seen(7)
    ids.seen(9)
    assert lost_of(ids) == [4, 5, 6]


def test_damage_at_the_end_leaves_all_that_may_follow_open() -> None:
    ids = LostIds()
    ids.seen(16)
    ids.damage()
    assert ids
    assert lost_of(ids) == [17, 18, 19]


def test_one_that_was_forgotten_since_is_not_lost() -> None:
    ids = LostIds()
    ids.damage()
    ids.seen(5)
    ids.gone(3)
    assert lost_of(ids) == [1, 2, 4]


def test_one_that_had_no_document_when_the_journal_was_begun_is_not_lost() -> None:
    ids = LostIds()
    ids.seen(2)
    ids.damage()
    ids.seen(9)
    ids.only([(1, 3), (5, 6), (12, 15)])
    assert lost_of(ids) == [3, 5, 6]


def test_one_that_was_changed_behind_the_damage_is_lost_though_an_older_one_was_taken_in_again_since() -> None:
    ids = LostIds()
    ids.damage()
    ids.changed(2)
    ids.seen(1)
    assert lost_of(ids) == [1, 2]


def test_those_before_one_that_was_forgotten_behind_the_damage_are_lost_though_an_older_one_is_there_again() -> None:
    ids = LostIds()
    ids.seen(5)
    ids.damage()
    ids.gone(8)
    ids.seen(6)
    ids.seen(9)
    assert lost_of(ids) == [6, 7]


@given(st.sets(st.integers(1, 60)).map(sorted))
def test_spans_hold_the_ids_and_no_others(numbers: list[int]) -> None:
    found = spans(numbers)
    assert [number for first, last in found for number in range(first, last + 1)] == numbers


def test_very_many_spans_are_joined_and_hold_all_of_the_ids() -> None:
    numbers = range(0, 30_000, 2)
    found = spans(numbers)
    assert len(found) <= MAX_SPANS
    assert all(any(first <= number <= last for first, last in found) for number in numbers[::500])
    assert found == sorted(found)
