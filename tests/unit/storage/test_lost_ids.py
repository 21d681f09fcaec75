"""`LostIds` infers from the neighbors of damage which documents may be lost, without those removed on purpose."""

from hypothesis import given
from hypothesis import strategies as st

from camiohookd.storage.lost_ids import MAX_SPANS, LostIds, spans


def lost_of(ids: LostIds, below: int = 20) -> list[int]:
    return [number for number in range(1, below) if number in ids]


def test_without_damage_no_id_is_lost() -> None:
    ids = LostIds()
    for number in (1, 2, 7):
        ids.seen(number)
    assert not ids
    assert lost_of(ids) == []


def test_ids_between_the_neighbors_of_the_damage_may_be_lost() -> None:
    ids = LostIds()
    ids.seen(3)
    ids.damage()
    ids.seen(2)  # a change of an older document gives no bound
    ids.seen(7)
    ids.seen(9)
    assert lost_of(ids) == [4, 5, 6]


def test_after_damage_at_the_end_any_higher_id_may_be_lost() -> None:
    ids = LostIds()
    ids.seen(16)
    ids.damage()
    assert ids
    assert lost_of(ids) == [17, 18, 19]


def test_an_id_removed_after_the_damage_is_not_lost() -> None:
    ids = LostIds()
    ids.damage()
    ids.seen(5)
    ids.gone(3)
    assert lost_of(ids) == [1, 2, 4]


def test_an_id_without_a_document_at_the_start_of_the_journal_is_not_lost() -> None:
    ids = LostIds()
    ids.seen(2)
    ids.damage()
    ids.seen(9)
    ids.only([(1, 3), (5, 6), (12, 15)])
    assert lost_of(ids) == [3, 5, 6]


def test_an_id_changed_after_the_damage_is_lost_even_if_an_older_id_was_added_again_later() -> None:
    ids = LostIds()
    ids.damage()
    ids.changed(2)
    ids.seen(1)
    assert lost_of(ids) == [1, 2]


def test_ids_before_one_removed_after_the_damage_are_lost_even_if_an_older_id_exists_again() -> None:
    ids = LostIds()
    ids.seen(5)
    ids.damage()
    ids.gone(8)
    ids.seen(6)
    ids.seen(9)
    assert lost_of(ids) == [6, 7]


@given(st.sets(st.integers(1, 60)).map(sorted))
def test_spans_contain_exactly_the_given_ids(numbers: list[int]) -> None:
    found = spans(numbers)
    assert [number for first, last in found for number in range(first, last + 1)] == numbers


def test_joins_very_many_spans_and_keeps_all_ids() -> None:
    numbers = range(0, 30_000, 2)
    found = spans(numbers)
    assert len(found) <= MAX_SPANS
    assert all(any(first <= number <= last for first, last in found) for number in numbers[::500])
    assert found == sorted(found)
