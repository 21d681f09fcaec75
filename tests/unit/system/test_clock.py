"""Elapsed time: it never jumps, whatever the wall clock does and however often the machine starts."""

from hypothesis import given
from hypothesis import strategies as st

from camiohookd.system.clock import ElapsedTime, SystemClock, iso
from tests.support.queue_factory import HandClock


def test_a_new_queue_begins_at_zero() -> None:
    assert ElapsedTime(HandClock(), {}).now() == 0.0


@given(st.floats(-1e9, 1e9))
def test_a_jump_of_the_wall_clock_is_no_time(jump: float) -> None:
    clock = HandClock()
    elapsed = ElapsedTime(clock, {})
    clock.tick(10)
    clock.wall_seconds += jump
    assert elapsed.now() == 10.0


def test_the_next_run_within_a_boot_carries_on_with_the_time_it_was_away() -> None:
    clock = HandClock()
    notes = ElapsedTime(clock, {}).notes()
    clock.tick(3600)
    assert ElapsedTime(clock, notes).now() == 3600.0


def test_after_a_reboot_it_carries_on_from_the_last_note() -> None:
    clock = HandClock()
    first = ElapsedTime(clock, {})
    clock.tick(500)
    notes = first.notes()
    clock.reboot()
    second = ElapsedTime(clock, notes)
    assert second.now() == 500.0
    clock.tick(7)
    assert second.now() == 507.0


def test_after_a_reboot_it_is_no_earlier_than_the_latest_task() -> None:
    clock = HandClock()
    notes = ElapsedTime(clock, {}).notes()
    clock.reboot()
    assert ElapsedTime(clock, notes, latest=290.0).now() == 290.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), max_size=20))
def test_it_never_goes_back(steps: list[tuple[float, bool]]) -> None:
    clock = HandClock()
    elapsed, last = ElapsedTime(clock, {}), 0.0
    for seconds, reboots in steps:
        clock.tick(seconds)
        assert elapsed.now() >= last
        last = elapsed.now()
        notes = elapsed.notes()
        if reboots:
            clock.reboot()
        elapsed = ElapsedTime(clock, notes)


def test_an_elapsed_time_is_shown_by_the_wall_clock_of_now() -> None:
    clock = HandClock()
    elapsed = ElapsedTime(clock, {})
    clock.tick(100)
    assert elapsed.wall_time_of(0.0) == iso(1_500_000_000) == "2017-07-14T02:40:00Z"


def test_the_system_clock_names_the_boot_and_counts_from_it() -> None:
    clock = SystemClock()
    (boot, seconds), (same_boot, later) = clock.boot(), clock.boot()
    assert boot == same_boot
    assert len(boot) == 36
    assert 0 < seconds <= later
