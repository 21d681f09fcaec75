"""What the trial of a new version left for the owner."""

from pathlib import Path

from camiohookd.daemon import rolled_back


def test_says_which_version_was_replaced_when_and_why(tmp_path: Path) -> None:
    settings = tmp_path / "camiohookd.toml"
    assert rolled_back.read(settings) is None
    (tmp_path / "rolled-back").write_text("9.0.0\n2026-11-28T10:00:00Z\nit did not label\x1b[1m\n")
    assert rolled_back.read(settings) == (
        "Version 9.0.0 was replaced by the version before on 2026-11-28T10:00:00Z: it did not label\\x1b[1m. "
        "It is not installed again by itself; a newer one is."
    )


def test_says_why_a_version_that_failed_stays_installed(tmp_path: Path) -> None:
    (tmp_path / "rolled-back").write_text(
        "9.0.0\n2026-11-28T10:00:00Z\nit did not label\nthere is no copy of the queue from before its migration\n"
    )
    assert rolled_back.read(tmp_path / "camiohookd.toml") == (
        "Version 9.0.0 failed its trial on 2026-11-28T10:00:00Z: it did not label. It stays installed, because there "
        "is no copy of the queue from before its migration. Accepted events are kept. Install a newer version: "
        "sudo apt update && sudo apt install camiohookd"
    )


def test_a_torn_file_is_told_as_well_as_can_be(tmp_path: Path) -> None:
    (tmp_path / "rolled-back").write_bytes(b"\xff\n")
    assert "an unknown day: the reason is unknown" in str(rolled_back.read(tmp_path / "camiohookd.toml"))
    (tmp_path / "rolled-back").write_bytes(b"")
    assert "Version unknown" in str(rolled_back.read(tmp_path / "camiohookd.toml"))
