"""Whoever dies with a device in use is remembered, a power cut or another setting is not."""

import json
from pathlib import Path

import pytest

from camiohookd.labelers.onnx.accelerators.crash_marker import STEADY_SECONDS, Guard
from tests.support.queue_factory import HandClock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graphs" / "device-in-use"


def died(path: Path, clock: HandClock, wish: str = "gpu") -> None:
    """A program that enters, and is not there any more."""
    guard = Guard(path, wish, clock)
    guard.enter()
    left = path.read_text()
    guard.leave()  # this program is to end well
    path.write_text(left)


def test_nothing_is_remembered_of_who_left(path: Path, clock: HandClock) -> None:
    guard = Guard(path, "gpu", clock)
    guard.enter()
    assert path.exists()
    guard.leave()
    assert not path.exists()
    assert Guard(path, "gpu", clock).deaths == 0


def test_deaths_in_a_row_are_counted(path: Path, clock: HandClock) -> None:
    for expected in (1, 2, 3):
        died(path, clock)
        assert Guard(path, "gpu", clock).deaths == expected


def test_another_setting_begins_anew(path: Path, clock: HandClock) -> None:
    died(path, clock)
    assert Guard(path, "npu", clock).deaths == 0


def test_a_power_cut_is_no_death(path: Path, clock: HandClock) -> None:
    died(path, clock)
    clock.reboot()
    assert Guard(path, "gpu", clock).deaths == 0


def test_a_death_after_long_is_the_first(path: Path, clock: HandClock) -> None:
    died(path, clock)
    died(path, clock)
    clock.tick(STEADY_SECONDS)
    assert Guard(path, "gpu", clock).deaths == 1


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\0"])
def test_a_file_that_says_nothing_is_no_death(path: Path, clock: HandClock, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    assert Guard(path, "gpu", clock).deaths == 0


def test_a_file_that_says_only_half_is_one_death(path: Path, clock: HandClock) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"wish": "gpu", "boot": clock.boot()[0]}))
    assert Guard(path, "gpu", clock).deaths == 1


def test_a_folder_that_cannot_be_written_does_not_stop_the_device(tmp_path: Path, clock: HandClock) -> None:
    (tmp_path / "file").write_text("")
    guard = Guard(tmp_path / "file" / "device-in-use", "gpu", clock)
    guard.enter()
    guard.leave()


def test_without_a_file_nothing_is_remembered(clock: HandClock) -> None:
    guard = Guard(None, "gpu", clock)
    guard.enter()
    guard.leave()
    assert guard.deaths == 0
