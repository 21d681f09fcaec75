"""Backups that are torn, changed or made to do harm are refused with one line, and nothing changes."""

import io
import json
import random
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.support.backups import SETTINGS, BoxFolders, fresh_box, make_box, tar_of

PASSPHRASE = "a passphrase of the owner"
OWN_SETTINGS = {"settings/camiohookd.toml": SETTINGS.encode()}


@pytest.fixture
def new(tmp_path: Path) -> BoxFolders:
    return fresh_box(tmp_path / "new")


def saved(folder: Path, *options: str | Path) -> Path:
    file = folder / "box.backup"
    done = make_box(folder / "old").run("backup", file, *options)
    assert done.exit_code == 0, done.output
    return file


def secret(folder: Path, text: str = PASSPHRASE) -> Path:
    file = folder / "passphrase"
    file.write_text(f"{text}\n")
    return file


def refusal(box: BoxFolders, data: bytes, *options: str | Path) -> str:
    """Return why the backup is refused; it must have changed nothing."""
    file = box.top.with_name("tried.backup")
    file.write_bytes(data)
    before = box.files()
    done = box.run("restore", file, "--yes", *options)
    assert done.exit_code != 0, done.output
    assert str(done.exception).startswith(f"{file}: "), repr(done.exception)
    assert "nothing was changed" in str(done.exception)
    assert box.files() == before
    return str(done.exception)


def test_a_backup_that_is_cut_off_anywhere_is_refused(tmp_path: Path, new: BoxFolders) -> None:
    whole = saved(tmp_path).read_bytes()
    end = len(whole.rstrip(b"\0"))  # a tar ends with zeros
    for length in {0, 1, 511, 512, 600, *random.Random(1).sample(range(end), 20)}:
        refusal(new, whole[:length])


def test_a_changed_byte_is_noticed(tmp_path: Path, new: BoxFolders) -> None:
    whole = saved(tmp_path).read_bytes()
    at = whole.index(b"an-old-key")
    assert "checksum" in refusal(new, whole[:at] + b"X" + whole[at + 1 :])


@pytest.mark.parametrize(
    "name",
    [
        "settings/../../etc/passwd",
        "settings//etc/passwd",
        "/etc/passwd",
        "settings/a/./b",
        "settings/a\nb",
        "settings",
        "state/lock",
        "state/graphs/cache",
        "state/models",
        "state/queue.json",
        "elsewhere/file",
    ],
)
def test_a_name_outside_of_what_a_backup_holds_is_refused(new: BoxFolders, name: str) -> None:
    assert "no backup holds" in refusal(new, tar_of({**OWN_SETTINGS, name: b"x"}))


def test_other_members_than_ordinary_files_and_those_of_the_manifest_are_refused(new: BoxFolders) -> None:
    data = tar_of({**OWN_SETTINGS, "settings/link": b""})
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE):
        changed = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(data)) as tar, tarfile.open(fileobj=changed, mode="w") as out:
            for member in tar:
                if member.name == "settings/link":
                    member.type, member.linkname = kind, "/etc/passwd"
                out.addfile(member, tar.extractfile(member) if member.isreg() else None)
        assert "does not match its manifest" in refusal(new, changed.getvalue())
    assert "does not name" in refusal(new, _with_extra(data))


def _with_extra(data: bytes) -> bytes:
    stream = io.BytesIO(data)
    with tarfile.open(fileobj=stream, mode="a") as tar:
        tar.addfile(tarfile.TarInfo("settings/extra"))
    return stream.getvalue()


def test_what_is_no_backup_at_all_is_refused(new: BoxFolders) -> None:
    refusal(new, b"")
    refusal(new, b"hello\n" * 1000)
    refusal(new, random.Random(1).randbytes(10_000))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("etc/passwd"))
    assert "not a backup of camiohookd" in refusal(new, stream.getvalue())


def test_manifests_that_lie_or_are_newer_are_refused(new: BoxFolders) -> None:
    assert "made by a newer camiohookd" in refusal(new, tar_of(OWN_SETTINGS, format=2, whatever=1))
    assert "its queue has format 99" in refusal(new, tar_of(OWN_SETTINGS, queue=True, state_format=99))
    twice = [{"name": "settings/a", "size": 0, "sha256": "0" * 64, "mode": 0o600}] * 2
    assert "twice" in refusal(new, tar_of(OWN_SETTINGS, files=twice))
    under = [dict(twice[0], name="settings/a"), dict(twice[0], name="settings/a/b")]
    assert "as a file and as a folder" in refusal(new, tar_of(OWN_SETTINGS, files=under))
    for bad in ({"mode": 0o4755}, {"size": -1}, {"sha256": "x"}, {"name": 1}):
        assert "damaged" in refusal(new, tar_of(OWN_SETTINGS, files=[{**twice[0], **bad}]))
    assert "holds no camiohookd.toml" in refusal(new, tar_of({"settings/api-keys": b""}))


@pytest.mark.skipif(
    shutil.which("openssl") is None,
    reason="NOT TESTED: encrypted backups, because openssl is not installed (apt install openssl)",
)
class TestEncrypted:
    def test_comes_back_with_its_passphrase_only_and_shows_nothing_in_the_file(
        self, tmp_path: Path, new: BoxFolders
    ) -> None:
        file = saved(tmp_path, "--passphrase-file", secret(tmp_path))
        data = file.read_bytes()
        assert b"an-old-key" not in data
        assert b"manifest" not in data
        wrong = secret(new.top.parent, "another passphrase")
        assert "passphrase is wrong" in refusal(new, data, "--passphrase-file", wrong)
        done = new.run("restore", file, "--yes", stdin=f"{PASSPHRASE}\n")
        assert done.exit_code == 0, done.output
        assert (new.settings / "camiohookd.toml").read_text() == SETTINGS
        assert PASSPHRASE not in done.output

    def test_torn_and_changed_files_are_distinguished_from_a_wrong_passphrase(
        self, tmp_path: Path, new: BoxFolders
    ) -> None:
        file = saved(tmp_path, "--passphrase-file", secret(tmp_path))
        whole, option = file.read_bytes(), ("--passphrase-file", secret(tmp_path))
        assert "cut off" in refusal(new, whole[:50], *option)
        for length in (98, 120, len(whole) - 1):
            assert "authentication code is wrong" in refusal(new, whole[:length], *option)
        for at in (70, 100, len(whole) // 2):
            changed = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            assert "authentication code is wrong" in refusal(new, changed, *option)

    def test_a_short_passphrase_is_refused(self, tmp_path: Path) -> None:
        box = make_box(tmp_path / "old")
        refused = box.run("backup", tmp_path / "b", "--passphrase-file", secret(tmp_path, "short"))
        assert "too short" in str(refused.exception)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["old", "passphrase"]


def test_the_manifest_names_every_file_with_its_size(tmp_path: Path) -> None:
    with tarfile.open(saved(tmp_path)) as tar:
        first = tar.extractfile("manifest.json")
        assert first is not None
        listed = json.load(first)
        sizes = {member.name: member.size for member in tar.getmembers()[1:]}
    assert {entry["name"]: entry["size"] for entry in listed["files"]} == sizes
