"""Elapsed time never jumps, even if the wall clock does or the machine restarts."""

from hypothesis import given
from hypothesis import strategies as st

from camiohookd.system.clock import ElapsedTime, SystemClock, iso
from tests.support.queue_factory import HandClock


def test_a_new_queue_starts_at_zero() -> None:
    assert ElapsedTime(HandClock(), {}).now() == 0.0


@given(st.floats(-1e9, 1e9))
def test_a_jump_of_the_wall_clock_does_not_count(jump: float) -> None:
    clock = HandClock()
    elapsed = ElapsedTime(clock, {})
    clock.tick(10)
    clock.wall_seconds += jump
    assert elapsed.now() == 10.0


def test_the_next_run_within_a_boot_includes_the_time_between_the_runs() -> None:
    clock = HandClock()
    notes = ElapsedTime(clock, {}).notes()
    clock.tick(3600)
    assert ElapsedTime(clock, notes).now() == 3600.0


def test_continues_from_the_last_note_after_a_reboot() -> None:
    clock = HandClock()
    first = ElapsedTime(clock, {})
    clock.tick(500)
    notes = first.notes()
    clock.reboot()
    second = ElapsedTime(clock, notes)
    assert second.now() == 500.0
    clock.tick(7)
    assert second.now() == 507.0


def test_starts_at_the_latest_task_or_later_after_a_reboot() -> None:
    clock = HandClock()
    notes = ElapsedTime(clock, {}).notes()
    clock.reboot()
    assert ElapsedTime(clock, notes, latest=290.0).now() == 290.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.booleans()), max_size=20))
def test_elapsed_time_never_goes_back(steps: list[tuple[float, bool]]) -> None:
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


def test_shows_an_elapsed_time_by_the_current_wall_clock() -> None:
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
