"""The pause before a start that follows many bad ends, as far as it shows without systemd."""

import asyncio
import logging
from pathlib import Path

import pytest

from camiohookd.daemon import restart_backoff as restarts
from camiohookd.daemon.restart_backoff import RestartBackoff, pause_after

WATCHED = {"NOTIFY_SOCKET": ""}


def starts(folder: Path, number: int, environ: dict[str, str] = WATCHED) -> list[int]:
    """That many starts without an orderly end; returns before which of them it would have waited, from 0."""
    waited: list[int] = []

    def pause(bad_ends: int) -> float:
        waited.append(bad_ends)
        return 0.0

    for _ in range(number):
        RestartBackoff(folder, environ, pause).begin(lambda: False)
    return waited


def test_the_pause_is_none_at_first_and_grows_up_to_a_minute() -> None:
    assert [pause_after(bad_ends) for bad_ends in range(12)] == [0, 0, 0, 0, 0, 0, 5, 10, 20, 40, 60, 60]
    assert pause_after(10**9) == 60


def test_each_start_counts_those_before_it_that_did_not_end_well(tmp_path: Path) -> None:
    assert starts(tmp_path, 4) == [0, 1, 2, 3]


def test_an_orderly_end_ends_the_row(tmp_path: Path) -> None:
    starts(tmp_path, 7)
    RestartBackoff(tmp_path, WATCHED).forget()
    assert starts(tmp_path, 2) == [0, 1]


def test_who_has_served_for_a_while_ends_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts(tmp_path, 7)
    monkeypatch.setattr(restarts, "LASTING_SECONDS", 0.0)
    asyncio.run(RestartBackoff(tmp_path, WATCHED).forget_when_lasting())
    assert starts(tmp_path, 1) == [0]


def test_without_systemd_nothing_is_counted(tmp_path: Path) -> None:
    assert starts(tmp_path, 3, {}) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "many", "\0", "-"])
def test_a_file_that_is_torn_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "restarts").write_text(text)
    assert starts(tmp_path, 2) == [0, 1]


def test_a_folder_that_takes_no_file_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    assert starts(tmp_path / "missing", 2) == [0, 0]


def test_a_wish_to_stop_ends_the_pause_and_the_log_has_told_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "restarts").write_text("6\n")
    with caplog.at_level(logging.WARNING):
        RestartBackoff(tmp_path, WATCHED, lambda _bad_ends: 3600.0).begin(lambda: True)
    assert "it ended badly 6 times in a row: it waits 3600 s" in caplog.text
