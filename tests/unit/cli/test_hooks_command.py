import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from camiohookd.cli.hooks.command import hooks
from camiohookd.errors import CamiohookdError, CamioRefused, CamioUnreachable, ConfigError

if TYPE_CHECKING:
    from tests.unit.conftest import FakeCamio

TOKEN = "a=token&with<odd>'signs'"
KEY = "key-of-the-owner_1"
PUBLIC = "https://hook.example.org:8000"
CALLBACK = f"{PUBLIC}/tasks/{KEY}"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CAMIO")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CAMIO_OAUTH_TOKEN", TOKEN)


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "camiohookd.toml"
    file.write_text(f'[hook]\napi_key = "{KEY}"\n')
    return str(file)


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(hooks, arguments, input=stdin)


def shown(result: Result) -> str:
    """Return all output that a user sees, including the error that the program prints at the end."""
    return f"{result.output}{result.exception if isinstance(result.exception, CamiohookdError) else ''}"


def unfolded(text: str) -> str:
    return " ".join(text.split())


def sent(camio: "FakeCamio") -> dict[str, str]:
    (request,) = [each for each in camio.requests if each.startswith(b"POST ")]
    body = json.loads(request.partition(b"\r\n\r\n")[2])
    assert isinstance(body, dict)
    return body


def create(camio: "FakeCamio", *arguments: str, query: str = "camera == 'front'", stdin: str | None = None) -> Result:
    return run("create", "--api", camio.url, "--query", query, *arguments, stdin=stdin)


def test_create_appends_tasks_and_the_configured_key_to_the_public_url(fake_camio: "FakeCamio", config: str) -> None:
    result = create(fake_camio, "--public-url", PUBLIC, "--config", config)
    assert result.exit_code == 0, result.output
    assert sent(fake_camio) == {"callback_url": CALLBACK, "type": "query_match", "parsed_query": "camera == 'front'"}
    assert result.stdout == (
        f"Camio registered the hook h1: it posts to {PUBLIC}/tasks/*** the events that match the query "
        "camera == 'front'\n"
    )
    assert create(fake_camio, "--public-url", PUBLIC, "--config", config, "--json").stdout == '{"id": "h1"}\n'


def test_takes_the_key_from_the_environment_as_the_daemon_does(
    fake_camio: "FakeCamio", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAMIOHOOKD_HOOK_API_KEY", KEY)
    create(fake_camio, "--public-url", f"{PUBLIC}/behind/a/proxy/")
    assert sent(fake_camio)["callback_url"] == f"{PUBLIC}/behind/a/proxy/tasks/{KEY}"


def test_registers_the_first_of_several_keys_and_masks_all(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    keys, file = tmp_path / "keys", tmp_path / "c.toml"
    keys.write_text("camio first-key-1\nspare second-key-2\n")
    file.write_text(f'[hook]\napi_keys_file = "{keys}"\n')
    fake_camio.answers("200 OK", b"first-key-1 second-key-2")
    result = create(fake_camio, "--public-url", PUBLIC, "--config", str(file))
    assert sent(fake_camio)["callback_url"] == f"{PUBLIC}/tasks/first-key-1"
    assert result.stdout == "Camio answered 200, but not in JSON. Its answer:\n*** ***\n"


def test_registers_the_key_of_a_given_name(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    (tmp_path / "api-keys").write_text("old first-key-1\nnew second-key-2\n")
    (tmp_path / "c.toml").write_text("")
    arguments = ("--public-url", PUBLIC, "--config", str(tmp_path / "c.toml"), "--key-name")
    create(fake_camio, *arguments, "new")
    assert sent(fake_camio)["callback_url"] == f"{PUBLIC}/tasks/second-key-2"
    refused = create(fake_camio, *arguments, "newer")
    assert refused.exit_code == 2
    assert "there are: old, new" in unfolded(shown(refused))
    assert create(fake_camio, "--callback-url", CALLBACK, "--key-name", "new").exit_code == 2


def test_sends_one_of_camios_types_unchanged(fake_camio: "FakeCamio") -> None:
    assert create(fake_camio, "--callback-url", CALLBACK, "--type", "every_event").exit_code == 2
    assert create(fake_camio, "--callback-url", CALLBACK, "--type", "label_hit").exit_code == 0
    assert sent(fake_camio)["type"] == "label_hit"


@pytest.mark.parametrize("arguments", [["--callback-url", CALLBACK], ["--callback-url", "-"]])
def test_sends_a_complete_callback_url_unchanged(fake_camio: "FakeCamio", arguments: list[str]) -> None:
    assert create(fake_camio, *arguments, stdin=f"{CALLBACK}\n").exit_code == 0
    assert sent(fake_camio)["callback_url"] == CALLBACK


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give --public-url, or set public_url under [hook]: sudo camiohookd setup"),
        (["--public-url", PUBLIC, "--callback-url", CALLBACK], "either --public-url or --callback-url"),
        (["--callback-url", "-", "--token-file", "-"], "cannot both be read from standard input"),
        (["--public-url", CALLBACK], "must end before /tasks/"),
        (["--public-url", f"{PUBLIC}?x"], "without ? and #"),
        (["--public-url", "hook.example.org"], "http:// or https://"),
        (["--callback-url", f"ftp://hook.example.org/tasks/{KEY}"], "http:// or https://"),
        (["--callback-url", f"https://me:{KEY}@hook.example.org/tasks/{KEY}"], "a user name"),
        (["--callback-url", CALLBACK, "--api", "http://camio.com"], "begin with https://"),
    ],
)
def test_reports_a_usage_error_without_secrets_and_sends_nothing(
    fake_camio: "FakeCamio", config: str, arguments: list[str], says: str
) -> None:
    result = create(fake_camio, "--config", config, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert KEY not in result.output
    assert fake_camio.requests == []


@pytest.mark.parametrize("option", ["--public-url", "--callback-url"])
@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://hook.example.org", "the URL is not https, so the key and the pictures would travel unencrypted"),
        ("https://192.168.1.20:8000", "192.168.1.20 is a private address, which cannot be reached from the internet"),
        ("https://[::1]:8000", "[::1] is a loopback address, which cannot be reached from the internet"),
        ("https://localhost", "localhost is a name of private networks, which cannot be reached from the internet"),
        ("http://box.local:8000", "box.local is a name of private networks, which cannot be reached from the internet"),
    ],
)
def test_refuses_a_url_that_camio_cannot_reach_unless_told_to_register_it_anyway(
    fake_camio: "FakeCamio", config: str, option: str, address: str, reason: str
) -> None:
    behind = "" if option == "--public-url" else f"/tasks/{KEY}"
    result = create(fake_camio, option, f"{address}{behind}", "--config", config)
    assert isinstance(result.exception, CamiohookdError)
    assert f"nothing was registered: {reason}. Give the public https address" in shown(result)
    assert fake_camio.requests == []
    result = create(fake_camio, option, f"{address}{behind}", "--config", config, "--anyway")
    assert result.exit_code == 0
    assert result.stderr == f"Warning: {reason}\n"
    assert sent(fake_camio)["callback_url"] == f"{address}/tasks/{KEY}"


def test_a_public_https_url_is_registered_without_a_warning(fake_camio: "FakeCamio", config: str) -> None:
    assert create(fake_camio, "--public-url", PUBLIC, "--config", config).stderr == ""


def hook(query: str = "camera == 'front'", url: str = CALLBACK) -> dict[str, str]:
    return {"id": "h7", "callback_url": url, "type": "query_match", "parsed_query": query}


@pytest.mark.parametrize("answer", [[hook("1==1"), hook()], {"hooks": [hook()]}])
def test_refuses_to_register_the_same_hook_twice_unless_forced(fake_camio: "FakeCamio", answer: object) -> None:
    fake_camio.answers("200 OK", json.dumps(answer).encode())
    result = create(fake_camio, "--callback-url", CALLBACK)
    assert isinstance(result.exception, CamiohookdError)
    assert "nothing was registered: the hook h7 has this URL, type and query already; --anyway" in shown(result)
    assert [request.split()[0] for request in fake_camio.requests] == [b"GET"]
    assert KEY not in shown(result)
    assert create(fake_camio, "--callback-url", CALLBACK, "--anyway").exit_code == 0
    assert sent(fake_camio)["callback_url"] == CALLBACK


def test_reports_a_hook_with_the_same_url_and_another_query(fake_camio: "FakeCamio") -> None:
    fake_camio.answers("200 OK", json.dumps([hook("1==1"), hook(url="https://other.example/tasks/x")]).encode())
    result = create(fake_camio, "--callback-url", CALLBACK)
    assert result.stderr == "Note: the hook h7 posts to this URL too, with the query 1==1\n"
    assert sent(fake_camio)["callback_url"] == CALLBACK


@pytest.mark.parametrize("answer", [("404 Not Found", b"{}"), ("200 OK", b"<html>"), ("200 OK", b"[[1], null]")])
def test_registers_if_camio_does_not_list_hooks(fake_camio: "FakeCamio", answer: tuple[str, bytes]) -> None:
    fake_camio.answers(*answer)
    create(fake_camio, "--callback-url", CALLBACK)
    assert sent(fake_camio)["callback_url"] == CALLBACK


def test_refuses_a_public_url_without_a_key(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text("")
    result = create(fake_camio, "--public-url", PUBLIC, "--config", str(tmp_path / "empty.toml"))
    assert isinstance(result.exception, ConfigError)
    assert "hook.api_key is not set" in shown(result)


def test_shows_a_wrong_query_with_a_caret_and_does_not_send_it(fake_camio: "FakeCamio") -> None:
    result = create(fake_camio, "--callback-url", CALLBACK, query="camera = 'front'")
    assert result.exit_code == 2
    assert result.stderr == "camera = 'front'\n       ^\nError: --query: = is not a comparison; write ==\n"
    assert fake_camio.requests == []


def test_no_check_sends_a_query_that_the_check_refuses(fake_camio: "FakeCamio") -> None:
    assert create(fake_camio, "--callback-url", CALLBACK, "--no-check", query="camera ~ 'front*'").exit_code == 0
    assert sent(fake_camio)["parsed_query"] == "camera ~ 'front*'"


def test_prefers_the_token_file_to_the_variable(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    assert run("list", "--api", fake_camio.url, "--token-file", str(tmp_path / "token")).exit_code == 0
    assert run("list", "--api", fake_camio.url, "--token-file", "-", stdin="from-standard-input\n").exit_code == 0
    assert run("list", "--api", fake_camio.url).exit_code == 0
    tokens = [request.split(b"Authorization: token ")[1].split(b"\r\n")[0] for request in fake_camio.requests]
    assert tokens == [b"from-a-file", b"from-standard-input", TOKEN.encode()]


def test_reports_a_missing_token_file(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    result = run("list", "--api", fake_camio.url, "--token-file", str(tmp_path / "none"))
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr


@pytest.mark.parametrize("token", ["", "  "])
def test_reports_a_usage_error_without_a_token_and_a_terminal(
    fake_camio: "FakeCamio", monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("CAMIO_OAUTH_TOKEN", token)
    result = run("list", "--api", fake_camio.url)
    assert result.exit_code == 2
    assert "set CAMIO_OAUTH_TOKEN, or give --token-file" in result.stderr


def test_refuses_an_impossible_token_without_showing_it(fake_camio: "FakeCamio") -> None:
    result = run("list", "--api", fake_camio.url, "--token-file", "-", stdin="secret of two words")
    assert result.exit_code == 2
    assert "secret of" not in result.output


def test_no_option_takes_the_token_itself() -> None:
    for command in hooks.commands.values():
        assert not {"--token", "--oauth-token", "--key"} & {flag for param in command.params for flag in param.opts}


def test_asks_for_the_token_on_a_terminal_without_echo(fake_camio: "FakeCamio") -> None:
    program = "from camiohookd.cli.hooks.command import hooks; hooks()"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAMIO")}
    owner, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program, "list", "--api", fake_camio.url],
        stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(terminal)
        seen = b""
        while b"token:" not in seen:
            seen += os.read(owner, 1000)
        os.write(owner, b"typed-in-token\n")
        assert process.wait(30) == 0
        seen += os.read(owner, 10_000)
    os.close(owner)
    assert b"Authorization: token typed-in-token\r\n" in fake_camio.requests[0]
    assert b'{"id": "h1"}' in seen
    assert b"typed-in-token" not in seen


def in_every_spelling(secret: str) -> list[str]:
    escaped = "".join(f"\\u{ord(char):04X}" for char in secret)
    percent = "".join(f"%{ord(char):02x}" for char in secret)
    return [
        secret,
        json.dumps(secret),
        json.dumps({"inner": json.dumps(secret)}),
        escaped,
        escaped.replace("\\", "\\\\"),
        percent,
        percent.replace("%", "%25"),
        "".join(f"&#{ord(char)};" for char in secret),
        secret.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&#x27;"),
        # The form in Camio's own JSON.
        secret.translate({ord(char): f"\\u{ord(char):04x}" for char in "=&<>'"}),
    ]


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "302 Found"])
@pytest.mark.parametrize("command", ["create", "list", "delete"])
@pytest.mark.parametrize("secret", [KEY, TOKEN])
def test_masks_key_and_token_in_camios_answer_in_every_spelling(
    fake_camio: "FakeCamio", config: str, status: str, command: str, secret: str
) -> None:
    arguments = {
        "create": ["create", "--public-url", PUBLIC, "--query", "1==1"],
        "list": ["list"],
        "delete": ["delete", secret],
    }[command]
    for spelling in in_every_spelling(secret):
        fake_camio.answers(status, f"<{spelling}>|1\\u003d\\u003d1".encode(), f"Location: /x/{spelling}")
        text = shown(run(*arguments, "--api", fake_camio.url, "--config", config))
        assert "***" in text
        assert "|1\\u003d\\u003d1" in text
        assert spelling not in text


def test_masks_the_key_if_camio_cannot_be_reached(config: str) -> None:
    result = run("delete", KEY, "--api", "http://127.0.0.1:1", "--config", config)
    assert isinstance(result.exception, CamioUnreachable)
    assert KEY not in shown(result)


@pytest.mark.parametrize(
    ("callback_url", "secret"),
    [
        ("https://h.example/tasks/odd%20key=1", "odd key=1"),
        ("https://h.example/tasks/odd%20key=1?x=1", "odd%20key\\u003d1"),
        ("https://h.example/in/a/tasks/deep/key", "deep/key"),
        ("https://h.example/tasks/deep/key", "https:\\/\\/h.example\\/tasks\\/deep\\/key"),
        ("https://h.example/own/path-with-a-secret", "own/path-with-a-secret"),
    ],
)
def test_masks_the_key_in_a_complete_callback_url(fake_camio: "FakeCamio", callback_url: str, secret: str) -> None:
    fake_camio.answers("200 OK", f'{{"echo": "{secret}", "id": "h1"}}'.encode())
    result = create(fake_camio, "--callback-url", callback_url, "--json")
    assert result.stdout.endswith('***", "id": "h1"}\n')
    assert "key" not in result.stdout
    assert "secret" not in result.stdout


@pytest.mark.parametrize(
    ("answer", "masked"),
    [
        ('[{"id":"h1","callback_url":"http://h:8000/tasks/other-key"}]', '"http://h:8000/tasks/***"}]'),
        ('{"callback_url":"http:\\/\\/h\\/tasks\\/other-key"}', '"http:\\/\\/h\\/tasks\\/***"}'),
        ('{"callback_url":"http://h/tasks/other\\u003dkey","id":"h1"}', '/tasks/***","id":"h1"}'),
        ("callback=http%3A%2F%2Fh%2Ftasks%2Fother-key", "%2Ftasks%2F***"),
        ('"{\\"callback_url\\": \\"http://h/tasks/other-key\\"}"', '/tasks/***\\"}"'),
        ("http://h/tasks/", "http://h/tasks/"),
    ],
)
def test_masks_the_keys_of_other_hooks_in_the_list(fake_camio: "FakeCamio", answer: str, masked: str) -> None:
    fake_camio.answers("200 OK", answer.encode())
    result = run("list", "--api", fake_camio.url)
    assert result.stdout.endswith(f"{masked}\n")
    assert "other" not in result.stdout


def test_list_and_delete_need_no_config_but_report_a_missing_requested_one(fake_camio: "FakeCamio") -> None:
    assert run("list", "--api", fake_camio.url).exit_code == 0
    assert isinstance(run("list", "--api", fake_camio.url, "--config", "/nonexistent").exception, ConfigError)
    assert len(fake_camio.requests) == 1


def test_shows_camios_answer_in_a_refusal(fake_camio: "FakeCamio") -> None:
    fake_camio.answers("404 Not Found", b'{"error": "no such hook"}')
    result = run("delete", "h9", "--api", fake_camio.url)
    assert isinstance(result.exception, CamioRefused)
    assert '404 Not Found\n{"error": "no such hook"}' in shown(result)


def test_shows_the_status_of_an_empty_answer(fake_camio: "FakeCamio") -> None:
    fake_camio.answers("204 No Content")
    assert run("list", "--api", fake_camio.url).stdout == "Camio answered 204, and nothing else.\n"
    assert run("delete", "h1", "--api", fake_camio.url).stdout == "Camio deleted the hook h1\n"


@pytest.mark.parametrize("command", ["list", "delete"])
def test_the_help_of_list_and_delete_refers_to_camios_page(command: str) -> None:
    assert "https://api.camio.com documents" in unfolded(run(command, "--help").stdout)


def test_the_default_address_is_camios() -> None:
    assert "[default: https://camio.com]" in unfolded(run("create", "--help").stdout)


def attempt(query: str, *arguments: str) -> Result:
    return run("test", "--query", query, *arguments)


def test_trying_a_query_prints_the_verdict_and_exits_as_grep_does() -> None:
    query = "camera == 'front' and 'people' in labels and 'cat' in labels and date.hour == 3"
    event = ["--camera", "front", "--labels", "people, dog", "--labels", "cat", "--date", "2026-01-02T03:04:05"]
    result = attempt(query, *event)
    assert (result.exit_code, result.output) == (0, "matches\n")
    result = attempt(query, "--camera", "back", *event[2:])
    assert (result.exit_code, result.output) == (1, "does not match\n")
    assert "1 if it does not" in unfolded(run("test", "--help").stdout)


def test_a_trial_event_has_no_labels_and_begins_now_by_default() -> None:
    assert attempt("labels == [] and date.year > 2025 and camera == ''").output == "matches\n"


def test_understands_camios_date_format() -> None:
    assert attempt("date.hour == 6 and date.second == 36", "--date", "2016-10-09T06:17:36.923-0000").exit_code == 0


@pytest.mark.parametrize(
    ("query", "arguments", "says"),
    [
        ("camera < 3", ["--camera", "front"], "camera < 3\n       ^\n"),
        (
            "camra == 'front'",
            [],
            "camra == 'front'\n^\nError: --query: the name camra is not known; did you mean camera?\n",
        ),
        ("1==1", ["--date", "yesterday"], "a date such as 2026-01-02T03:04:05"),
    ],
)
def test_exits_with_2_and_the_reason_if_a_query_cannot_be_tried(query: str, arguments: list[str], says: str) -> None:
    result = attempt(query, *arguments)
    assert result.exit_code == 2
    assert says in result.stderr


def test_help_does_not_load_the_http_library() -> None:
    program = "import sys; from camiohookd.cli.hooks import command; assert 'requests' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_create_takes_the_address_and_the_query_from_the_settings(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    file = tmp_path / "camiohookd.toml"
    file.write_text(f'[hook]\napi_key = "{KEY}"\npublic_url = "{PUBLIC}/"\nquery = "camera == \'yard\'"\n')
    assert run("create", "--api", fake_camio.url, "--config", str(file)).exit_code == 0
    assert sent(fake_camio)["callback_url"] == CALLBACK
    assert sent(fake_camio)["parsed_query"] == "camera == 'yard'"


def test_create_checks_the_query_of_the_settings_too(fake_camio: "FakeCamio", tmp_path: Path) -> None:
    file = tmp_path / "camiohookd.toml"
    file.write_text(f'[hook]\napi_key = "{KEY}"\npublic_url = "{PUBLIC}"\nquery = "camra == 1"\n')
    result = run("create", "--api", fake_camio.url, "--config", str(file))
    assert result.exit_code == 2
    assert "did you mean camera?" in result.output
    assert fake_camio.requests == []
