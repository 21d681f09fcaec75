"""Compare the ordered ids with plain sets and dictionaries, and count comparisons."""

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from camiohookd.queue.sorted_ids import AgedIds, OrderedIds, TimedIds

ids = st.integers(1, 30)


@given(st.lists(st.tuples(st.booleans(), ids), max_size=300), ids)
def test_ordered_ids_are_a_sorted_set(steps: list[tuple[bool, int]], bound: int) -> None:
    ordered, plain = OrderedIds(), set[int]()
    for adds, number in steps:
        if adds:
            ordered.add(number)
            plain.add(number)
        else:
            ordered.discard(number)
            plain.discard(number)
        assert ordered.first() == min(plain, default=None)
        assert ordered.last() == max(plain, default=None)
        assert (len(ordered), number in ordered) == (len(plain), number in plain)
    assert list(ordered.after(bound)) == sorted(each for each in plain if each > bound)


@given(st.lists(st.tuples(st.booleans(), ids, st.integers(0, 9)), max_size=300))
def test_timed_ids_return_the_earliest(steps: list[tuple[bool, int, int]]) -> None:
    timed, plain = TimedIds(), dict[int, int]()
    for adds, number, time in steps:
        if adds:
            timed.add(number, time)
            plain[number] = time
        else:
            timed.discard(number)
            plain.pop(number, None)
        assert timed.first() == min(((time, number) for number, time in plain.items()), default=None)
        assert timed.latest() == max(plain.values(), default=0)
        assert len(timed) == len(plain)


ages = st.floats(0, 1e12)


@given(st.lists(st.tuples(ids, ages)), st.lists(st.tuples(st.booleans(), ids, ages), max_size=300))
def test_aged_ids_return_the_earliest_with_its_exact_time(
    filled: list[tuple[int, float]], steps: list[tuple[bool, int, float]]
) -> None:
    aged, plain = AgedIds(), dict(filled)
    aged.fill((time, number) for number, time in plain.items())
    for adds, number, time in steps:
        if number in plain:
            aged.discard(number, plain.pop(number))
        elif adds:
            aged.add(number, time)
            plain[number] = time
        else:
            aged.discard(number, time)
        expected = sorted((time, number) for number, time in plain.items())
        assert list(aged) == expected
        assert aged.first() == next(iter(expected), None)
        assert aged.latest() == max(plain.values(), default=0.0)
        assert len(aged) == len(plain)


class _Counted(int):
    """A number that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        _Counted.comparisons += 1
        return super().__lt__(other)


def comparisons_of_draining(count: int) -> Iterator[int]:
    timed = TimedIds()
    for number in range(count):
        timed.add(number, _Counted(number))
    while first := timed.first():
        _Counted.comparisons = 0
        timed.discard(first[1])
        timed.first()
        yield _Counted.comparisons


def test_a_hundred_times_as_many_ids_need_hardly_more_comparisons_each() -> None:
    few, many = (sum(comparisons_of_draining(count)) / count for count in (100, 10_000))
    assert many < 4 * few
