"""The marker counts deaths with a device in use, but not power cuts and deaths with another setting."""

import json
from pathlib import Path

import pytest

from camiohookd.labelers.onnx.accelerators.crash_marker import STEADY_SECONDS, Guard
from tests.support.queue_factory import HandClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graphs" / "device-in-use"


def died(path: Path, clock: HandClock, wish: str = "gpu") -> None:
    """Run a program that starts using the device and dies."""
    guard = Guard(path, wish, clock)
    guard.enter()
    left = path.read_text()
    guard.leave()  # forget it, so that this test program ends normally
    path.write_text(left)


def test_forgets_a_run_that_closed_the_device(path: Path, clock: HandClock) -> None:
    guard = Guard(path, "gpu", clock)
    guard.enter()
    assert path.exists()
    guard.leave()
    assert not path.exists()
    assert Guard(path, "gpu", clock).deaths == 0


def test_counts_consecutive_deaths(path: Path, clock: HandClock) -> None:
    for expected in (1, 2, 3):
        died(path, clock)
        assert Guard(path, "gpu", clock).deaths == expected


def test_another_setting_resets_the_count(path: Path, clock: HandClock) -> None:
    died(path, clock)
    assert Guard(path, "npu", clock).deaths == 0


def test_does_not_count_a_power_cut(path: Path, clock: HandClock) -> None:
    died(path, clock)
    clock.reboot()
    assert Guard(path, "gpu", clock).deaths == 0


def test_a_death_after_a_long_run_counts_as_the_first(path: Path, clock: HandClock) -> None:
    died(path, clock)
    died(path, clock)
    clock.tick(STEADY_SECONDS)
    assert Guard(path, "gpu", clock).deaths == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0"])
def test_an_empty_file_counts_as_no_death(path: Path, clock: HandClock, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert Guard(path, "gpu", clock).deaths == 0


def test_an_incomplete_file_counts_as_one_death(path: Path, clock: HandClock) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"wish": "gpu", "boot": clock.boot()[0]}))
    assert Guard(path, "gpu", clock).deaths == 1


def test_an_unwritable_folder_does_not_stop_the_device(tmp_path: Path, clock: HandClock) -> None:
    (tmp_path / "file").write_text("")
    guard = Guard(tmp_path / "file" / "device-in-use", "gpu", clock)
    guard.enter()
    guard.leave()


def test_without_a_file_there_is_no_death(clock: HandClock) -> None:
    guard = Guard(None, "gpu", clock)
    guard.enter()
    guard.leave()
    assert guard.deaths == 0
