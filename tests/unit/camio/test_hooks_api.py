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


def test_create_posts_the_hook_with_the_token_and_returns_the_answer_unchanged(fake_camio: "FakeCamio") -> None:
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


def test_appends_the_path_to_a_base_url_with_a_path_or_a_slash(fake_camio: "FakeCamio") -> None:
    hooks_api.HooksApi(f"{fake_camio.url}/proxy/", TOKEN).list()
    assert request_line(fake_camio.requests[0]) == "GET /proxy/api/users/me/hooks HTTP/1.1"


def test_list_and_delete_send_get_and_delete_to_the_collection(fake_camio: "FakeCamio") -> None:
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
def test_quotes_a_hook_id_as_one_segment_of_the_path(fake_camio: "FakeCamio", hook_id: str, path: str) -> None:
    hooks_api.HooksApi(fake_camio.url, TOKEN).delete(hook_id)
    assert request_line(fake_camio.requests[0]) == f"DELETE /api/users/me/hooks/{path} HTTP/1.1"


@pytest.mark.parametrize("hook_id", ["", ".", "..", "\udcff"])
def test_never_sends_a_hook_id_that_names_another_resource(fake_camio: "FakeCamio", hook_id: str) -> None:
    with pytest.raises(CamioRequestError):
        hooks_api.HooksApi(fake_camio.url, TOKEN).delete(hook_id)
    assert fake_camio.requests == []


def test_never_sends_a_query_that_is_not_unicode(fake_camio: "FakeCamio") -> None:
    with pytest.raises(CamioRequestError, match="UTF-8"):
        hooks_api.HooksApi(fake_camio.url, TOKEN).create(
            "https://h.example/tasks/k", "query_match", "camera == '\udcff'"
        )
    assert fake_camio.requests == []


def test_an_error_answer_raises_a_refusal_with_status_and_body(fake_camio: "FakeCamio") -> None:
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
def test_a_refusal_says_what_to_do(fake_camio: "FakeCamio", status: str, advice: str) -> None:
    fake_camio.answers(status)
    with pytest.raises(CamioRefused, match=advice):
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent"])
def test_names_the_target_of_a_redirect_and_does_not_follow_it(fake_camio: "FakeCamio", status: str) -> None:
    fake_camio.answers(status, b"moved", f"Location: {fake_camio.url}/elsewhere")
    with pytest.raises(CamioRefused, match="/elsewhere") as caught:
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()
    assert str(caught.value.status) == status[:3]
    assert len(fake_camio.requests) == 1


@pytest.mark.parametrize("status", ["200 OK", "500 Internal Server Error", "302 Found"])
def test_stops_reading_an_answer_over_the_limit(fake_camio: "FakeCamio", status: str) -> None:
    # The declared length is far above what is sent before the close: reading all of it would fail.
    fake_camio.answer = f"HTTP/1.1 {status}\r\nLocation: /x\r\nContent-Length: 99999999\r\n\r\n".encode()
    fake_camio.answer += b"x" * (hooks_api.MAX_ANSWER + 200_000)
    with pytest.raises(CamioUnreachable, match=r"more than 1\.05 MB"):
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", b"\x00" * 50]
)
def test_reports_an_answer_that_is_cut_short_or_not_http(fake_camio: "FakeCamio", answer: bytes) -> None:
    fake_camio.answer = answer
    with pytest.raises(CamioUnreachable, match=r"no answer from Camio's API at http://127\.0\.0\.1:") as caught:
        hooks_api.HooksApi(fake_camio.url, TOKEN).list()
    assert "Error" not in str(caught.value)
    assert "object at 0x" not in str(caught.value)


def test_reports_the_systems_reason_if_no_server_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CamioUnreachable, match="Connection refused"):
        hooks_api.HooksApi(f"http://127.0.0.1:{port}", TOKEN).list()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_times_out_if_the_server_does_not_answer(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setattr(hooks_api, "TIMEOUT", (5.0, 0.1) if scheme == "http" else (0.1, 5.0))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = hooks_api.HooksApi(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}", TOKEN)
        with pytest.raises(CamioUnreachable, match="did not answer") as listing:
            api.list()
        with pytest.raises(CamioUnreachable, match="did not answer") as deletion:
            api.delete("h1")
    assert "hooks list" not in str(listing.value), "that is the command which was just run"
    assert ("hooks list" in str(deletion.value)) is (scheme == "http"), "over https nothing was sent"


def test_sends_no_token_to_an_https_address_without_tls(fake_camio: "FakeCamio") -> None:
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
def test_refuses_a_base_url_that_would_disclose_the_token(base_url: str) -> None:
    with pytest.raises(CamioRequestError, match="the address of Camio's API"):
        hooks_api.HooksApi(base_url, TOKEN)


@pytest.mark.parametrize(
    "base_url", ["https://camio.com", "http://127.0.0.2:1", "http://[::1]:8", "http://localhost:9"]
)
def test_accepts_https_and_http_on_the_loopback(base_url: str) -> None:
    hooks_api.HooksApi(base_url, TOKEN)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "Schlüssel", "x" * 5000, "\udcff"])
def test_refuses_a_token_that_no_header_can_hold_without_showing_it(token: str) -> None:
    with pytest.raises(CamioRequestError) as caught:
        hooks_api.HooksApi("https://camio.com", token)
    assert not token or token not in str(caught.value)


def test_ignores_netrc_and_proxy_variables(
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
