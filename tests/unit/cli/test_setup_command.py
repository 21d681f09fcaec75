"""``camiohookd setup``: the answers, as options and on a terminal, and what becomes of the owner's file."""

import difflib
import os
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from camiohookd import cli
from camiohookd.camio.query import check as check_query
from camiohookd.cli.setup.answers import present
from camiohookd.cli.setup.command import setup
from camiohookd.config.load import Config, load_config
from camiohookd.config.settings import HookSettings
from camiohookd.config.values import Address
from camiohookd.errors import CamiohookdError
from tests.support.certificates import Pair, make_certificate
from tests.support.daemon_process import Daemon
from tests.support.scripted_server import Peer, answering
from tests.support.terminal import Terminal
from tests.support.users import open_folder

OWN = """\
# My box
[hook]  # the way in
listen = "0.0.0.0:8000"     # all of it
#public_url = ""

[callback]
allow_hosts = ["camio.com"] # not the others

[[rule]]
camera = "front"
"""
URL = "https://hook.example.org"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("CAMIO")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "camiohookd.toml"


def run(*options: str, status: int | None = 0) -> Result:
    result = CliRunner().invoke(setup, ["--non-interactive", "--no-doctor", *options], standalone_mode=False)
    if status is not None:
        assert result.exception is None, result.output + repr(result.exception)
        assert result.return_value == status, result.output
    return result


def failed(*options: str) -> str:
    """Run what must fail; return the error."""
    error = run(*options, status=None).exception
    assert error is not None
    return str(getattr(error, "message", error))


def settings(file: Path) -> dict[str, Any]:
    """Return what is set in the file; a section without a setting is left out."""
    return without_empty(tomllib.loads(file.read_text()))


def without_empty(table: dict[str, Any]) -> dict[str, Any]:
    inner = {key: without_empty(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in inner.items() if value != {}}


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:2] in ("+ ", "- ")]


# As options


def test_a_new_box_gets_a_file_with_all_settings_and_a_key(file: Path) -> None:
    shown = run("--way", "tunnel", "--public-url", f"{URL}/", "--query", "camera == 'front'").output
    assert settings(file) == {
        "hook": {"listen": "127.0.0.1:8000", "public_url": URL, "query": "camera == 'front'"},
    }
    assert "#max_images = 1000" in file.read_text()
    [name, key] = file.with_name("api-keys").read_text().split()
    assert (name, len(key)) == ("camio", 48)
    assert key not in shown
    for secret in (file, file.with_name("api-keys")):
        assert stat.S_IMODE(secret.stat().st_mode) == 0o640
    assert "register with Camio: sudo camiohookd hooks create" in shown
    assert "camiohookd serve" in shown


def test_only_lines_of_changed_settings_are_written_and_an_owners_line_only_with_yes(file: Path) -> None:
    file.write_text(OWN)
    options = ("--way", "proxy", "--proxy", "127.0.0.1", "--public-url", URL)
    assert "hook.listen is already set; use --yes to change it" in failed(*options)
    assert file.read_text() == OWN
    shown = run(*options, "--yes").output
    assert sorted(changed_lines(OWN, file.read_text())) == [
        '+ listen = "127.0.0.1:8000"     # all of it',
        f'+ public_url = "{URL}"',
        '+ trusted_proxies = ["127.0.0.1"]',
        '- #public_url = ""',
        '- listen = "0.0.0.0:8000"     # all of it',
    ]
    assert '[hook] listen = "127.0.0.1:8000"    (was: "0.0.0.0:8000")' in shown


@pytest.mark.parametrize(("text", "before", "after"), [("", 0o644, 0o644), ("api_key = 'a-key-for-me'", 0o644, 0o640)])
def test_settings_stay_readable_for_all_unless_they_hold_the_key(
    file: Path, text: str, before: int, after: int
) -> None:
    file.write_text(f"[hook]\n{text}\n")
    file.chmod(before)
    run("--query", "1==1")
    assert stat.S_IMODE(file.stat().st_mode) == after


def test_without_an_answer_nothing_changes(file: Path) -> None:
    file.write_text(OWN)
    keys = file.with_name("api-keys")
    keys.write_text("mine 0123456789abcdef0123456789abcdef\n")
    assert f"{file} does not change" in run().output
    assert file.read_text() == OWN
    assert keys.read_text() == "mine 0123456789abcdef0123456789abcdef\n"


def test_the_detail_is_set_also_of_the_first_of_several_labelers(file: Path) -> None:
    run("--detail", "3x3")
    assert settings(file) == {"labeler": {"detail": "3x3"}}
    file.write_text('[[labeler]]\ndetail = "2x2"\n\n[[labeler]]\nname = "second"\n')
    run("--detail", "whole", "--yes")
    assert settings(file) == {"labeler": [{"detail": "whole"}, {"name": "second"}]}


def test_names_a_variable_that_overrides_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMIOHOOKD_HOOK_QUERY", "1==1")
    assert "CAMIOHOOKD_HOOK_QUERY in the environment overrides this line" in run("--query", "camera == 'a'").output


def test_the_same_answers_again_change_nothing(file: Path) -> None:
    options = ("--way", "tunnel", "--public-url", URL, "--query", "1==1")
    run(*options)
    before = file.read_text()
    run(*options)
    assert file.read_text() == before


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_certificate(tmp_path)


def test_port_forwarding_takes_a_certificate_and_another_port(file: Path, pair: Pair) -> None:
    run("--way", "port", "--tls-cert", str(pair.cert), "--tls-key", str(pair.key))
    assert settings(file)["hook"] == {
        "listen": "0.0.0.0:8443",
        "tls_cert": str(pair.cert),
        "tls_key": str(pair.key),
    }


def test_a_file_with_certificate_and_key_is_enough(file: Path, pair: Pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(pair.cert.read_text() + pair.key.read_text())
    run("--way", "port", "--tls-cert", str(both), "--listen", "0.0.0.0:9443")
    assert settings(file)["hook"] == {"listen": "0.0.0.0:9443", "tls_cert": str(both)}


def test_the_status_page_is_opened_by_https_with_the_certificate(file: Path, pair: Pair) -> None:
    file.with_name("admin-password").write_text("made before")
    run("--way", "port", "--tls-cert", str(pair.cert), "--tls-key", str(pair.key), "--status-page")
    assert settings(file)["admin"] == {
        "listen": "0.0.0.0:8001",
        "tls_cert": str(pair.cert),
        "tls_key": str(pair.key),
    }


def test_the_status_page_takes_a_password_and_a_word_about_plain_http(file: Path) -> None:
    assert "insecure = true" in failed("--way", "tunnel", "--status-page")
    assert "sudo camiohookd admin password" in failed("--way", "tunnel", "--status-page", "--insecure-page")
    assert not file.exists()
    file.with_name("admin-password").write_text("made before")
    run("--way", "tunnel", "--status-page", "--insecure-page")
    assert settings(file)["admin"] == {"listen": "0.0.0.0:8001", "insecure": True}
    run("--no-status-page", "--yes")
    assert settings(file)["admin"]["listen"] == "127.0.0.1:8001"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--way", "port"], "needs a certificate"),
        (["--tls-key", "/etc/hosts"], "--tls-key goes with --tls-cert"),
        (["--public-url", "http://hook.example.org"], "the URL is not https"),
        (["--public-url", "https://192.168.1.2"], "a private address, which cannot be reached from the internet"),
        (["--public-url", f"{URL}/tasks/key"], "it must end before /tasks/"),
        (["--query", "camera = 'front'"], "= is not a comparison; write =="),
        (["--model", "nothing"], "model 'nothing' is not in"),
        (["--detail", "closer"], "'closer' is not one of 'auto', 'whole', 'tiles', '2x2', '3x3'"),
        (["--way", "proxy", "--proxy", "here"], "expected an address"),
        (["--listen", "8000"], "expected host:port"),
    ],
)
def test_an_answer_that_cannot_be_used_is_refused_and_nothing_is_written(
    file: Path, options: list[str], says: str
) -> None:
    assert says in failed(*options)
    assert not file.exists()
    assert not file.with_name("api-keys").exists()


def test_a_certificate_without_its_key_is_refused(file: Path, pair: Pair) -> None:
    assert "cannot read a certificate and its key" in failed("--way", "port", "--tls-cert", str(pair.cert))
    assert not file.exists()


def test_settings_that_are_wrong_already_are_named_before_anything_is_asked(file: Path) -> None:
    file.write_text("[hook]\nlisten = 7\n")
    assert f"{file}, line 2: hook.listen: given 7" in failed("--way", "tunnel")


def test_a_user_who_may_not_write_is_told_to_use_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    with open_folder() as folder:
        monkeypatch.setenv("CONFIGURATION_DIRECTORY", str(folder / "closed"))
        (folder / "closed").mkdir(mode=0o555)
        if os.geteuid() == 0:
            pytest.skip("NOT TESTED: setup by a user who may not write, because root may write everywhere")
        assert "sudo" in failed("--way", "tunnel")


def test_without_a_terminal_it_says_what_to_do() -> None:
    result = CliRunner().invoke(setup, ["--no-doctor"], standalone_mode=False)
    assert "standard input is not a terminal" in str(result.exception)


# The settings that follow from the answers


@pytest.mark.parametrize(
    ("listen", "way", "becomes"),
    [
        ("0.0.0.0:8000", "port", "0.0.0.0:8443"),
        ("0.0.0.0:9000", "port", "0.0.0.0:9000"),
        ("127.0.0.1:8000", "port", "0.0.0.0:8443"),
        ("0.0.0.0:9000", "tunnel", "127.0.0.1:9000"),
        ("[::1]:9000", "ssh", "[::1]:9000"),
        ("192.168.1.5:9000", "proxy", "127.0.0.1:9000"),
    ],
)
def test_the_listener_suits_the_way_in(listen: str, way: str, becomes: str) -> None:
    answers = present(Config(hook=HookSettings(listen=Address(listen))))
    answers.use_way(way)
    assert answers.listen == becomes


@pytest.mark.parametrize(("proxy", "listen"), [("127.0.0.1", "127.0.0.1:8000"), ("192.168.1.2", "0.0.0.0:8000")])
def test_a_proxy_on_another_machine_can_reach_the_listener(proxy: str, listen: str) -> None:
    answers = present(Config())
    answers.use_way("proxy")
    answers.let_proxy_in(proxy)
    assert (answers.listen, answers.trusted_proxies) == (listen, [proxy])


def test_the_way_in_is_recognized_when_it_is_run_again(file: Path) -> None:
    ways = [("tunnel", []), ("proxy", ["--proxy", "10.0.0.0/8"])]
    for way, options in ways:
        run("--way", way, *options, "--yes")
        assert present(load_config(file, {})).way == way


# Registration


@pytest.fixture
def camio() -> Iterator[Peer]:
    peer = Peer(answering(200, "Content-Type: application/json", body=b'{"id": "h1"}'))
    yield peer
    peer.close()


def registering(camio: Peer, tmp_path: Path) -> tuple[str, ...]:
    token = tmp_path / "token"
    token.write_text("a-token\n")
    options = ("--way", "tunnel", "--public-url", URL, "--query", "1==1", "--token-file", str(token))
    return (*options, "--api", f"http://127.0.0.1:{camio.port}")


def test_with_a_token_the_hook_is_registered(camio: Peer, tmp_path: Path) -> None:
    shown = run(*registering(camio, tmp_path)).output
    key = (tmp_path / "api-keys").read_text().split()[1]
    [posted] = [each for each in camio.requests if each.startswith(b"POST ")]
    assert f'"callback_url": "{URL}/tasks/{key}"'.encode() in posted
    assert b"Authorization: token a-token" in posted
    assert "Camio registered the hook h1" in shown
    assert "register with Camio" not in shown
    assert key not in shown


def test_a_failed_registration_is_reported_and_the_settings_stay(file: Path, camio: Peer, tmp_path: Path) -> None:
    camio.script = answering(401)
    shown = run(*registering(camio, tmp_path), status=1).output
    assert "Not registered: Camio answered 401" in shown
    assert settings(file)["hook"]["public_url"] == URL
    assert "register with Camio: sudo camiohookd hooks create" in shown


# On a terminal


def on_terminal(*options: str) -> Terminal:
    return Terminal(["setup", "--no-doctor", *options], os.environ)


def test_the_questions_have_defaults_and_refuse_what_cannot_be_used(file: Path) -> None:
    with on_terminal() as terminal:
        terminal.answer("Way in [tunnel]:", "door")
        terminal.wait_for("choose one of port, proxy, ssh, tunnel")
        terminal.answer("Way in [tunnel]:")
        terminal.answer("Public URL, such as https://hook.example.org:", "http://hook.example.org")
        terminal.wait_for("the URL is not https")
        terminal.answer("Public URL", URL)
        terminal.answer("Query [1==1]:", "camra == 'front'")
        terminal.wait_for("did you mean camera?")
        terminal.answer("Query", "camera == 'front'")
        terminal.wait_for("Closer finds people who are far away")
        terminal.answer("Detail [auto]:", "closer")
        terminal.wait_for("choose one of auto, whole, 2x2, 3x3, tiles")
        terminal.answer("Detail [auto]:", "2x2")
        terminal.answer("open it? [y/N]:")
        terminal.answer("Write them? [Y/n]:")
        terminal.answer("Register with Camio now? [y/N]:")
        assert terminal.end() == 0
    assert settings(file) == {
        "hook": {"listen": "127.0.0.1:8000", "public_url": URL, "query": "camera == 'front'"},
        "labeler": {"detail": "2x2"},
    }
    assert "Next:\n  1. register with Camio" in terminal.shown


def test_run_again_it_shows_what_is_set_and_enter_keeps_it(file: Path) -> None:
    run("--way", "proxy", "--proxy", "192.168.1.2", "--public-url", URL, "--detail", "tiles")
    run("--query", "camera == 'front'")
    before = file.read_text()
    with on_terminal() as terminal:
        terminal.answer("Way in [proxy]:")
        terminal.answer("Address of the proxy [192.168.1.2]:")
        terminal.answer(f"[{URL}]:")
        terminal.answer("Query [camera == 'front']:")
        terminal.answer("Detail [tiles]:")
        terminal.answer("open it? [y/N]:")
        terminal.answer("Register with Camio now?", "n")
        assert terminal.end() == 0
    assert file.read_text() == before
    assert "does not change" in terminal.shown


def test_an_owners_line_is_shown_before_it_is_changed_and_no_keeps_it(file: Path) -> None:
    file.write_text(OWN)
    with on_terminal("--public-url", URL, "--query", "1==1", "--detail", "auto", "--no-status-page") as terminal:
        terminal.answer("Way in", "ssh")
        terminal.wait_for('(was: "0.0.0.0:8000")')
        terminal.answer("Write them?", "n")
        assert terminal.end() == 1
    assert file.read_text() == OWN


def test_an_owner_of_own_code_is_not_asked_for_the_detail(file: Path) -> None:
    file.write_text('[labeler]\nkind = "python"\n')
    with on_terminal("--way", "tunnel", "--public-url", "", "--query", "1==1") as terminal:
        terminal.answer("open it? [y/N]:")
        terminal.answer("Write them?")
        assert terminal.end() == 0
    assert "Detail" not in terminal.shown


def test_ctrl_c_changes_nothing(file: Path) -> None:
    file.write_text(OWN)
    with on_terminal() as terminal:
        terminal.answer("Way in", "ssh")
        terminal.wait_for("Public URL, such")
        assert terminal.end_by_ctrl_c() == cli.ExitStatus.INTERRUPTED
    assert file.read_text() == OWN
    assert not file.with_name("api-keys").exists()


def test_the_certificate_and_the_password_of_the_page_are_asked_for(file: Path, pair: Pair) -> None:
    with on_terminal("--way", "port", "--public-url", URL, "--query", "1==1") as terminal:
        terminal.answer("its chain:", "/nothing.pem")
        terminal.wait_for("there is no file /nothing.pem")
        terminal.answer("its chain:", str(pair.cert))
        terminal.answer("its private key", str(pair.key))
        terminal.answer("Address to listen on [0.0.0.0:8443]:")
        terminal.answer("Detail [auto]:")
        terminal.answer("open it? [y/N]:", "y")
        terminal.answer("Write them?")
        terminal.answer("Password:", "short")
        terminal.answer("Again:", "short")
        terminal.answer("Password:", "long enough for a page")
        terminal.answer("Again:", "long enough for a page")
        terminal.answer("Register with Camio now?")
        assert terminal.end() == 0
    assert "long enough for a page" not in terminal.shown
    assert file.with_name("admin-password").read_text().startswith("scrypt$")
    assert settings(file)["admin"]["listen"] == "0.0.0.0:8001"


# With the service and the doctor


def test_the_doctor_follows_and_its_findings_are_the_next_step(tmp_path: Path, camio: Peer) -> None:
    weak = {"CAMIOHOOKD_LABELER_DEVICE": "cpu", "CAMIOHOOKD_HOOK_API_KEY": "a-weak-key"}
    daemon = Daemon(tmp_path, f"http://127.0.0.1:{camio.port}", weak)
    options = ("--non-interactive", "--way", "tunnel", "--query", "1==1", "--api", f"http://127.0.0.1:{camio.port}")
    done = daemon.command("setup", *options, check=False)
    assert done.returncode == 1, done.stdout
    assert '✗ key "default": it could be guessed' in done.stdout
    assert "1. fix what the doctor found" in done.stdout
    assert "2. get a public https address" in done.stdout


def test_the_query_of_the_example_is_one_that_camio_accepts() -> None:
    check_query("camera == 'front'")
    with pytest.raises(CamiohookdError):
        check_query("camera = 'front'")
