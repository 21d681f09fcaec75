"""The wait before a start that follows many crashes, as far as it shows without systemd."""

import asyncio
import logging
from pathlib import Path

import pytest

from camiohookd.daemon import restart_backoff as restarts
from camiohookd.daemon.restart_backoff import RestartBackoff, pause_after

WATCHED = {"NOTIFY_SOCKET": ""}


def starts(folder: Path, number: int, environ: dict[str, str] = WATCHED) -> list[int]:
    """Start `number` times without an orderly stop; return the number of crashes before each start."""
    waited: list[int] = []

    def pause(crashes: int) -> float:
        waited.append(crashes)
        return 0.0

    for _ in range(number):
        RestartBackoff(folder, environ, pause).begin(lambda: False)
    return waited


def test_the_wait_is_zero_at_first_and_grows_up_to_a_minute() -> None:
    assert [pause_after(crashes) for crashes in range(12)] == [0, 0, 0, 0, 0, 0, 5, 10, 20, 40, 60, 60]
    assert pause_after(10**9) == 60


def test_each_start_counts_the_crashes_before_it(tmp_path: Path) -> None:
    assert starts(tmp_path, 4) == [0, 1, 2, 3]


def test_an_orderly_stop_ends_the_count(tmp_path: Path) -> None:
    starts(tmp_path, 7)
    RestartBackoff(tmp_path, WATCHED).forget()
    assert starts(tmp_path, 2) == [0, 1]


def test_serving_for_long_enough_ends_the_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts(tmp_path, 7)
    monkeypatch.setattr(restarts, "LASTING_SECONDS", 0.0)
    asyncio.run(RestartBackoff(tmp_path, WATCHED).forget_when_lasting())
    assert starts(tmp_path, 1) == [0]


def test_counts_nothing_without_systemd(tmp_path: Path) -> None:
    assert starts(tmp_path, 3, {}) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "many", "\0", "-"])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "restarts").write_text(text)
    assert starts(tmp_path, 2) == [0, 1]


def test_starts_although_the_file_cannot_be_written(tmp_path: Path) -> None:
    assert starts(tmp_path / "missing", 2) == [0, 0]


def test_logs_the_wait_and_ends_it_at_a_signal_to_stop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "restarts").write_text("6\n")
    with caplog.at_level(logging.WARNING):
        RestartBackoff(tmp_path, WATCHED, lambda _crashes: 3600.0).begin(lambda: True)
    assert "crashed 6 times in a row: waiting 3600 s before this start" in caplog.text
