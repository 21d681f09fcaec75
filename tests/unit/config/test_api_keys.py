"""The file of keys, and the changes that the commands make to it."""

import grp
import os
import random
import re
import secrets
from pathlib import Path

import pytest

from camiohookd.config import api_keys, key_strength
from camiohookd.errors import CamiohookdError, ConfigError
from camiohookd.system import permissions


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "api-keys"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_key_has_192_bits_and_is_in_the_file(file: Path) -> None:
    key = api_keys.add(file, "camio")
    assert re.fullmatch(r"[0-9a-f]{48}", key)
    assert api_keys.read(file) == {"camio": key}
    assert api_keys.add(file, "next") != key


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: who may read root's file of keys, which takes root")
@pytest.mark.parametrize("before", [None, 0o600, 0o644])
def test_lets_only_the_services_group_read_a_file_that_root_made(
    file: Path, monkeypatch: pytest.MonkeyPatch, before: int | None
) -> None:
    monkeypatch.setattr(permissions, "SERVICE_USER", "daemon")  # every Debian has this group
    if before is not None:
        file.touch(before)
    api_keys.add(file, "camio")
    status = file.stat()
    assert (mode(file), status.st_uid, status.st_gid) == (0o640, 0, grp.getgrnam("daemon").gr_gid)


def test_without_a_service_the_file_belongs_to_its_creator(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "SERVICE_USER", "no-such-group")
    api_keys.add(file, "camio")
    assert (mode(file), file.stat().st_gid) == (0o640, os.getegid())


@pytest.mark.parametrize(("before", "after"), [(0o600, 0o600), (0o640, 0o640), (0o666, 0o640)])
def test_keeps_the_mode_of_a_users_file_except_that_others_may_not_read_it(file: Path, before: int, after: int) -> None:
    file.write_text("old 0123456789\n")
    file.chmod(before)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    api_keys.add(file, "camio")
    assert mode(file) == after


def test_keeps_the_rest_of_the_file_unchanged(file: Path) -> None:
    text = "# ours\n\n  first 0123456789  # of May\nsecond\tabcdefghij"
    file.write_text(text)
    key = api_keys.add(file, "third")
    assert file.read_text() == f"{text}\nthird {key}\n"
    api_keys.retire(file, "second", may_be_last=False)
    assert file.read_text() == f"# ours\n\n  first 0123456789  # of May\nthird {key}\n"
    api_keys.retire(file, "first", may_be_last=False)
    api_keys.retire(file, "third", may_be_last=True)
    assert file.read_text() == "# ours\n\n"


def test_keeps_a_symbolic_link(file: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    file.symlink_to(tmp_path / "elsewhere" / "keys")
    api_keys.add(file, "camio")
    assert file.is_symlink()
    assert "camio" in api_keys.read(tmp_path / "elsewhere" / "keys")
    assert list(api_keys.read(file)) == ["camio"]


@pytest.mark.parametrize("name", ["", "two words", "#name", "a\nb", "-x", "x" * 65, "schlüssel"])
def test_refuses_a_name_that_would_be_read_as_something_else(file: Path, name: str) -> None:
    with pytest.raises(CamiohookdError, match="cannot be the name of a key"):
        api_keys.add(file, name)
    assert not file.exists()


def test_refuses_a_name_that_is_taken(file: Path) -> None:
    api_keys.add(file, "camio")
    before = file.read_bytes()
    with pytest.raises(CamiohookdError, match='already a key named "camio"'):
        api_keys.add(file, "camio")
    assert file.read_bytes() == before


def test_refuses_to_retire_a_missing_key(file: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        api_keys.retire(file, "camio", may_be_last=True)
    file.write_text("")
    with pytest.raises(CamiohookdError, match="the file has no key"):
        api_keys.retire(file, "camio", may_be_last=True)
    api_keys.add(file, "home")
    with pytest.raises(CamiohookdError, match="the keys are: home"):
        api_keys.retire(file, "camio", may_be_last=True)


def test_refuses_to_retire_the_last_key(file: Path) -> None:
    key = api_keys.add(file, "camio")
    with pytest.raises(CamiohookdError, match='"camio" is the last key'):
        api_keys.retire(file, "camio", may_be_last=False)
    assert api_keys.read(file) == {"camio": key}


def test_a_key_in_the_place_of_its_name_is_refused_and_not_shown(file: Path) -> None:
    key = secrets.token_hex(24)
    file.write_text(f"{key} front-door\n")
    with pytest.raises(ConfigError, match="line 1: the name looks like a key") as refusal:
        api_keys.read(file)
    assert key not in str(refusal.value)
    file.write_text(f"{'a-long-name-of-somebodys-own-box-2027'} {key}\n")
    assert list(api_keys.read(file).values()) == [key]


def test_does_not_change_a_malformed_file(file: Path) -> None:
    file.write_text("only-a-key-of-length\n")
    with pytest.raises(ConfigError, match="line 1: expected a name"):
        api_keys.add(file, "camio")
    assert file.read_text() == "only-a-key-of-length\n"


def test_reports_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(CamiohookdError, match=r"none/api-keys: cannot be written: No such file or directory$"):
        api_keys.add(tmp_path / "none" / "api-keys", "camio")


@pytest.mark.parametrize(
    "key",
    [
        *("password", "0123456789" * 3, "abcdef0123456789abcdef01", "correct-horse-battery"),
        *("a" * 200, "abababab" * 20, "Summer2024.Summer2024"),
    ],
)
def test_a_short_or_repetitive_key_is_weak(key: str) -> None:
    assert key_strength.is_weak(key)


def test_a_random_key_of_128_bits_is_not_weak_in_any_notation() -> None:
    # Not from `secrets`: some three random keys of a million look weak.
    keys = random.Random(0)
    for _ in range(1000):
        assert not key_strength.is_weak(keys.randbytes(16).hex())
        assert not key_strength.is_weak(keys.randbytes(16).hex().upper())
    for key in ("Wm3kQ9xTzB7vNc2pLdR8sF", "q1w-e2r_t3y.u4i~o5p-a6s7d8", "3f0c9a7e-55b1-4c8d-9e21-7b6a0d4f8c12"):
        assert not key_strength.is_weak(key)
