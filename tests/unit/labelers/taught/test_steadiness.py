"""When the state of a zone counts as changed."""

from pathlib import Path

from camiohookd.labelers.taught.steadiness import Settled, Steadiness


def states(steadiness: Steadiness, seen: str, steady: int = 1, first: int = 1) -> list[str]:
    """Return what counts in each of several events; the letters of `seen` are the states; "!" marks a change."""
    found = [steadiness.settle("gate", state, nth, steady) for nth, state in enumerate(seen, start=first)]
    return [each.state + "!" * each.changed for each in found]


def test_the_first_state_is_no_change_and_each_other_one_is() -> None:
    assert states(Steadiness(None), "oocco") == ["o", "o", "c!", "c", "o!"]


def test_a_state_counts_after_so_many_events_in_a_row() -> None:
    assert states(Steadiness(None), "ococcooo", steady=2) == ["o", "o", "o", "o", "c!", "c", "o!", "o"]


def test_a_third_state_starts_to_count_anew() -> None:
    assert states(Steadiness(None), "ocxcc", steady=2) == ["o", "o", "o", "o", "c!"]


def test_an_event_that_is_labeled_again_gets_the_same_answer() -> None:
    steadiness = Steadiness(None)
    states(steadiness, "oc")
    assert steadiness.settle("gate", "c", 2, 1) == Settled("c", changed=True)
    steadiness.settle("gate", "c", 3, 1)
    assert steadiness.settle("gate", "c", 2, 1) == Settled("c", changed=True)


def test_an_older_event_changes_nothing() -> None:
    steadiness = Steadiness(None)
    states(steadiness, "ooc", first=10)
    assert steadiness.settle("gate", "o", 5, 1) == Settled("o", changed=False)
    assert states(steadiness, "c", first=13) == ["c"]


def test_a_restart_is_no_change_and_a_change_meanwhile_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "states.json"
    states(Steadiness(file), "oc")
    assert states(Steadiness(file), "co", first=3) == ["c", "o!"]


def test_a_damaged_file_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "states.json"
    file.write_bytes(b'{"gate": 7\xff')
    assert states(Steadiness(file), "oc") == ["o", "c!"]
