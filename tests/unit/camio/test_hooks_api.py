import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from camiohookd.camio import hooks_api
from camiohookd.errors import CamioRefused, CamioRequestError, CamioUnreachable

if TYPE_CHECKING:
    from tests.unit.conftest import FakeCamio

TOKEN = "T0ken-of-the_owner"


def headers(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def request_line(request: bytes) -> str:
    return request.split(b"\r\n")[0].decode()


def test_create_posts_the_hook_with_the_token_and_gives_the_answer_as_it_came(fake_camio: "FakeCamio") -> None:
    fake_camio.answers("201 Created", '{"id": "h1", "parsed_query": "1\\u003d\\u003d1 é"}'.encode())
    answer = hooks_api.HooksApi(fake_camio.url, TOKEN).create(
        "https://h.example/tasks/k", "query_match", "camera == 'é'"
    )
    assert answer == (201, '{"id": "h1", "parsed_query": "1\\u003d\\u003d1 é"}')
    (request,) = fake_camio.requests
    assert request_line(request) == "POST /api/users/me/hooks HTTP/1.1"
    assert headers(request)["authorization"] == f"token {TOKEN}"
    assert headers(request)["content-type"] == "application/json"
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {
        "callback_url": "https://h.example/tasks/k",
        "type": "query_match",
        "parsed_query": "camera == 'é'",
    }


def test_the_path_is_put_behind_a_base_that_has_a_path_or_ends_in_a_slash(fake_camio: "FakeCamio") -> None:
    hooks_api.HooksApi(f"{fake_camio.url}/proxy/", TOKEN).list()
    assert request_line(fake_camio.requests[0]) == "GET /proxy/api/users/me/hooks HTTP/1.1"


def test_list_and_delete_are_get_and_delete_of_the_same_collection(fake_camio: "FakeCamio") -> None:
    api = hooks_api.HooksApi(fake_camio.url, TOKEN)
    assert api.list() == (200, '{"id": "h1"}')
    fake_camio.answers("204 No Content")
    assert api.delete("h1") == (204, "")
    assert [request_line(request) for request in fake_camio.requests] == [
        "GET /api/users/me/hooks HTTP/1.1",
        "DELETE /api/users/me/hooks/h1 HTTP/1.1",
    ]
    assert all(headers(request)["authorization"] == f"token {TOKEN}" for request in fake_camio.requests)


@pytest.mark.parametrize(
    ("hook_id", "path"),
    [
        ("../../me", "..%2F..%2Fme"),
        ("a/b", "a%2Fb"),
        ("a?b#c d", "a%3Fb%23c%20d"),
        ("%2e%2e", "%252e%252e"),
        ("é", "%C3%A9"),
        ("a\r\nX: y", "a%0D%0AX%3A%20y"),
    ],
)
def test_a_hooks_id_is_quoted_and_stays_one_part_of_the_path(fake_camio: "FakeCamio", hook_id: str, path: str) -> None:
    hooks_api.HooksApi(fake_camio.url, TOKEN).delete(hook_id)
    assert request_line(fake_camio.requests[0]) == f"DELETE /api/users/me/hooks/{path} HTTP/1.1"


@pytest.mark.parametrize("hook_id", ["", ".", "..", "\udcff"])
def test_a_hooks_id_that_would_name_something_else_is_never_sent(fake_camio: "FakeCamio", hook_id: str) -> None:
    with pytest.raises(CamioRequestError):
        hooks_api.HooksApi(fake_camio.url, TOKEN).delete(hook_id)
    assert fake_camio.requests == []


def test_a_query_that_is_not_unicode_is_never_sent(fake_camio: "FakeCamio") -> None:
    with pytest.raises(CamioRequestError, match="UTF-8"):
        hooks_api.HooksApi(fake_camio.url, TOKEN).create(
            "https://h.example/tasks/k", "query_match", "camera == '\udcff'"
        )
    assert fake_camio.requests == []


def test_an_error_answer_is_a_refusal_with_the_status_and_the_answer_verbatim(fake_camio: "FakeCamio") -> None:
    fake_camio.answers("422 Unprocessable Entity", b'{"error":  "parsed_query: no such name"}\n')
    with pytest.raises(CamioRefused) as caught:
        hooks_api.HooksApi(fake_camio.url, TOKEN).create("https://h.example/tasks/k", "query_match", "x")
    assert (caught.value.status, caught.value.answer) == (422, '{"error":  "parsed_query: no such name"}\n')
    assert str(caught.value) == 'Camio answered 422 Unprocessable Entity\n{"error":  "parsed_query: no such name"}'


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        ("401 Unauthorized", "https://camio.com/settings/integrations#api"),
        ("405 Method Not Allowed", "https://api.camio.com"),
    ],
)
def test_a_refusal_says_where_to_look(fake_camio: "FakeCamio", status: str, advice: str) -> None:
    fake_camio.answers(status)
    with pytest.raises(CamioRefused, match=advice):
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_a_redirect_is_not_followed_and_names_its_target(fake_camio: "FakeCamio", status: str) -> None:
    fake_camio.answers(status, b"moved", f"Location: {fake_camio.url}/elsewhere")
    with pytest.raises(CamioRefused, match="/elsewhere") as caught:
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()
    assert str(caught.value.status) == status[:3]
    assert len(fake_camio.requests) == 1


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "302 Found"])
def test_an_answer_over_the_bound_is_not_read_to_its_end(fake_camio: "FakeCamio", status: str) -> None:
    # Says that it is far longer than what is sent before the connection closes: read to its end, it would be cut off.
    fake_camio.answer = f"HTTP/1.1 {status}\r\nLocation: /x\r\nContent-Length: 99999999\r\n\r\n".encode()
    fake_camio.answer += b"x" * (hooks_api.MAX_ANSWER + 200_000)
    with pytest.raises(CamioUnreachable, match="more than 1048576 bytes"):
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"\x00" * 50]
)
def test_an_answer_that_breaks_off_or_is_not_http_is_told_in_a_sentence(fake_camio: "FakeCamio", answer: bytes) -> None:
    fake_camio.answer = answer
    with pytest.raises(CamioUnreachable, match=r"no answer of Camio's API at http://127\.0\.0\.1:") as caught:
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()
    assert "Error" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_a_server_that_is_not_there_is_told_by_the_systems_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CamioUnreachable, match="Connection refused"):
        hooks_api.HooksApi(f"http://127.0.0.1:{port}", TOKEN).list()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr(hooks_api, "TIMEOUT", (5.0, 0.1) if scheme == "http" else (0.1, 5.0))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = hooks_api.HooksApi(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}", TOKEN)
        with pytest.raises(CamioUnreachable, match="stayed silent") as listing:
            api.list()
        with pytest.raises(CamioUnreachable, match="stayed silent") as deletion:
            api.delete("h1")
    assert "hooks list" not in str(listing.value), "that is the command which was just run"
    assert ("hooks list" in str(deletion.value)) is (scheme == "http"), "over https nothing was sent"


def test_an_https_address_that_does_not_speak_tls_gets_no_token(fake_camio: "FakeCamio") -> None:
    with pytest.raises(CamioUnreachable, match="SSL"):
        hooks_api.HooksApi(fake_camio.url.replace("http:", "https:"), TOKEN).list()
    assert not any(TOKEN.encode() in request for request in fake_camio.requests)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://camio.com",
        "http://127.0.0.1.example.org",
        "http://192.168.1.9:8000",
        "http://localhost.example.org",
        "ftp://camio.com",
        "camio.com",
        "https://owner:password@camio.com",
        "https://camio.com?x=1",
        "https://camio.com#x",
        "https://",
        "https://camio.com:99999",
        "https://camio.com\\@evil.example",
        "",
    ],
)
def test_a_base_that_would_give_the_token_away_is_refused(base_url: str) -> None:
    with pytest.raises(CamioRequestError, match="the address of Camio's API"):
        hooks_api.HooksApi(base_url, TOKEN)


@pytest.mark.parametrize(
    "base_url", ["https://camio.com", "http://127.0.0.2:1", "http://[::1]:8", "http://localhost:9"]
)
def test_https_and_the_loopback_are_fine(base_url: str) -> None:
    hooks_api.HooksApi(base_url, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "Schlüssel", "x" * 5000, "\udcff"])
def test_a_token_that_no_header_can_hold_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(CamioRequestError) as caught:
        hooks_api.HooksApi("https://camio.com", token)
    assert not token or token not in str(caught.value)


def test_neither_netrc_nor_proxy_variables_change_the_request(
    fake_camio: "FakeCamio", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    hooks_api.HooksApi(fake_camio.url, TOKEN).list()
    assert headers(fake_camio.requests[0])["authorization"] == f"token {TOKEN}"
