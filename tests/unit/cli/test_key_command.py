"""``camiohookd key``: the commands to change a key."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from camiohookd.cli.key import key
from camiohookd.config import api_keys
from camiohookd.errors import CamiohookdError
from tests.support.users import open_folder, ordinary_user

OLD = "an-old-key-0123456789-of-a-good-length"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the settings and the keys."""
    for name in [name for name in os.environ if name.startswith("CAMIO")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(key, arguments)


def test_replaces_a_key_while_both_are_valid_in_between(folder: Path) -> None:
    (folder / "api-keys").write_text(f"old {OLD}\n")
    made = run("new", "2027")
    assert made.exit_code == 0
    assert api_keys.read(folder / "api-keys") == {"old": OLD, "2027": made.stdout.strip()}
    assert "systemctl reload camiohookd" in made.stderr
    assert run("list").stdout == "old\n2027\n"
    assert run("retire", "old").exit_code == 0
    assert run("list").stdout == "2027\n"


def test_retires_the_last_key_only_if_the_settings_have_another(folder: Path) -> None:
    (folder / "api-keys").write_text(f"old {OLD}\n")
    assert '"old" is the last key' in str(run("retire", "old").exception)
    (folder / "camiohookd.toml").write_text(f'[hook]\napi_key = "{OLD}x"\n')
    assert run("retire", "old").exit_code == 0


def test_only_new_shows_a_key_and_no_other_key(folder: Path) -> None:
    (folder / "api-keys").write_text(f"old {OLD}\n")
    made = run("new", "camio")
    results = [run("list"), run("retire", "camio"), run("retire", "camio"), run("new", "old")]
    output = made.stderr + "".join(f"{each.output}{each.exception}" for each in results)
    assert made.stdout.strip() not in output
    assert OLD not in output + made.stdout


def test_lists_weak_keys_and_the_key_from_the_settings(folder: Path) -> None:
    (folder / "camiohookd.toml").write_text('[hook]\napi_key = "12345678"\n')
    (folder / "api-keys").write_text(f"old {OLD}\n")
    first, second = run("list").stdout.splitlines()
    assert first.startswith("default  (weak: ")
    assert second == "old"


def test_uses_the_file_that_the_settings_name(folder: Path) -> None:
    (folder / "other.toml").write_text(f'[hook]\napi_keys_file = "{folder}/elsewhere"\n')
    run("new", "camio", "--config", str(folder / "other.toml"))
    assert list(api_keys.read(folder / "elsewhere")) == ["camio"]
    assert not (folder / "api-keys").exists()


def test_says_how_to_make_a_key_if_there_is_none() -> None:
    error = run("list").exception
    assert isinstance(error, CamiohookdError)
    assert "camiohookd key new" in str(error)


def test_advises_to_use_root_if_the_file_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_folder() as folder:
        monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(folder))
        folder.chmod(0o555)
        with ordinary_user():
            error = run("new", "camio").exception
        folder.chmod(0o755)
    assert "sudo" in str(error)
