"""The file with the password of the private listener."""

import os
from pathlib import Path

import pytest

from camiohookd.config import admin_password
from camiohookd.errors import ConfigError


@pytest.mark.parametrize("password", ["correct horse", "größer als", "  spaces around  ", "\udcff in the terminal"])
def test_the_file_tells_the_password_from_others(tmp_path: Path, password: str) -> None:
    admin_password.write(tmp_path / "admin-password", password)
    found = admin_password.read(tmp_path / "admin-password")
    assert found is not None
    assert found.is_right(password)
    assert not found.is_right(f"{password}x")
    assert not found.is_right("")


def test_the_file_holds_a_salted_hash_that_others_cannot_read(tmp_path: Path) -> None:
    files = [tmp_path / "one", tmp_path / "two"]
    for file in files:
        admin_password.write(file, "correct horse")
        assert "correct" not in file.read_text()
        assert file.stat().st_mode & 0o137 == 0
    assert files[0].read_text() != files[1].read_text()


def test_neither_salt_nor_hash_is_in_the_repr() -> None:
    made = admin_password.make("correct horse")
    assert made.salt.hex() not in repr(made)
    assert repr(made) == "PasswordHash(n=16384, r=8, p=5)"


def test_there_is_no_password_without_a_file(tmp_path: Path) -> None:
    assert admin_password.read(tmp_path / "admin-password") is None


BROKEN = [
    "",
    "secret",
    "scrypt$16384$8$5$c2FsdA==",
    "bcrypt$16384$8$5$c2FsdA==$aGFzaA==",
    "scrypt$16384$8$5$c2FsdA==$aGFzaA==",  # a short hash
    "scrypt$16383$8$5$c2FsdA==$" + "A" * 43 + "=",  # no power of two
    "scrypt$1073741824$8$5$c2FsdA==$" + "A" * 43 + "=",  # a terabyte of memory
    "scrypt$16384$8$5000$c2FsdA==$" + "A" * 43 + "=",
    "scrypt$-2$8$5$c2FsdA==$" + "A" * 43 + "=",
    "scrypt$16384$8$5$!$" + "A" * 43 + "=",
    "größer",
]


@pytest.mark.parametrize("text", BROKEN)
def test_another_file_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "admin-password"
    file.write_text(text)
    with pytest.raises(ConfigError, match="write it anew: sudo camiohookd admin password") as raised:
        admin_password.read(file)
    assert text == "" or text not in str(raised.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="NOT TESTED: a password file without rights, because root may read it")
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "admin-password"
    file.touch(0)
    with pytest.raises(ConfigError, match="Permission denied"):
        admin_password.read(file)
