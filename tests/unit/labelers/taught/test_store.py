"""The files of what was taught: whole, damaged, of others."""

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from camiohookd.labelers.taught import places, store
from camiohookd.labelers.taught.places import TaughtError
from camiohookd.labelers.taught.store import TaughtZone
from tests.support.taught import Colors, lamp, taught_lamp


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    taught = taught_lamp()
    path = store.save(tmp_path, taught)
    assert path == tmp_path / "taught" / "lamp.taught"
    assert store.read(path) == taught
    assert places.files(tmp_path) == [path]
    assert path.stat().st_mode & 0o077 == 0
    said = store.read(path).learned().verdict(Colors().features(lamp(220, 50)).astype(float))
    assert said.label == taught.labels.index("red")


def test_no_damage_of_a_byte_and_no_cut_goes_unnoticed() -> None:
    data = store.encode(taught_lamp(keep_crops=False))
    for place in range(0, len(data), 13):
        with pytest.raises(TaughtError):
            store.decode(data[:place], "x")
        with pytest.raises(TaughtError):
            store.decode(data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :], "x")


def test_errors_say_what_is_wrong_and_what_to_do() -> None:
    data = store.encode(taught_lamp())
    with pytest.raises(TaughtError, match=r"^x: its checksum does not match: .* teach it again$"):
        store.decode(data[:-1], "x")
    with pytest.raises(TaughtError, match=r"^x: this is not a file of taught labels"):
        store.decode(b"\x89PNG", "x")
    with pytest.raises(TaughtError, match=r"^x: a later version of camiohookd wrote it \(format 9\)"):
        store.decode(data.replace(b" 1 ", b" 9 ", 1), "x")


@pytest.mark.parametrize(
    "change",
    [
        {"factors": b""},
        {"factors": b"\x00\x00\xc0\x7f" * 6},  # not a number
        {"examples": b"\x00" * 7},
        {"shifts": (0.0,)},
        {"labels": ("red",)},
        {"labels": ("red", "red")},
        {"labels": ("red", " ")},
        {"labels": ("red", "x" * 201)},
        {"name": "../../etc/passwd"},
        {"name": ""},
        {"zone": None},
        {"zone": TaughtZone("yard", "lamp", ())},
        {"zone": TaughtZone("yard", "lamp", ((0.0, 0.0), (1.0, 0.0), (7.0, 1.0)))},
        {"farthest": float("nan")},
        {"on": "car"},
    ],
)
def test_a_file_with_a_right_checksum_and_impossible_contents_is_refused(change: dict[str, object]) -> None:
    data = store.encode(msgspec.structs.replace(taught_lamp(), **change))
    with pytest.raises(TaughtError, match=r"^x: "):
        store.decode(data, "x")


@pytest.mark.parametrize("name", ["a/b", "../x", ".hidden", "", "a\nb", "x" * 65, "-rf"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaughtError, match="cannot be a name"):
        places.path_of(tmp_path, name)
    with pytest.raises(TaughtError, match="cannot be a name"):
        taught_lamp(name)


def test_a_folder_that_cannot_be_read_is_logged(tmp_path: Path) -> None:
    (tmp_path / "taught").write_text("a file in the way")
    with pytest.raises(TaughtError, match=r"taught/lamp\.taught: cannot be written: File exists"):
        store.save(tmp_path, taught_lamp())


def test_what_root_teaches_belongs_to_the_owner_of_the_state_folder(
    tmp_path: Path, not_tested: Callable[[str], None]
) -> None:
    if os.geteuid() != 0:
        not_tested("that what root teaches belongs to the service, because the tests do not run as root")
        return
    os.chown(tmp_path, 12345, 12346)
    path = store.save(tmp_path, taught_lamp())
    assert {(each.stat().st_uid, each.stat().st_gid) for each in (path, path.parent)} == {(12345, 12346)}


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = store.save(tmp_path, taught_lamp())
    os.truncate(path, store.MAX_BYTES + 1)
    with pytest.raises(TaughtError, match="larger than 64000000 bytes"):
        store.read(path)


def test_a_file_that_would_be_too_large_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "MAX_BYTES", 1000)
    with pytest.raises(TaughtError, match="would be larger than 1000 bytes; teach with fewer or smaller pictures"):
        store.save(tmp_path, taught_lamp())
    assert list(tmp_path.rglob("*.taught")) == []


def test_forgetting_deletes_the_file(tmp_path: Path) -> None:
    path = store.save(tmp_path, taught_lamp())
    store.remove(tmp_path, "lamp")
    assert not path.exists()
    with pytest.raises(TaughtError, match='nothing was taught as "lamp"'):
        store.remove(tmp_path, "lamp")
