"""Compare the request of `hooks create` with that of curl from Camio's instructions, on a loopback server."""

import json
import os
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

TOKEN = "T0ken-of-the_owner"
CALLBACK = "https://hook.example.org:8000/tasks/key-of-the-owner"


class Request(NamedTuple):
    method: str
    path: str
    version: str
    headers: dict[str, str]
    body: bytes


def record_post(listener: socket.socket) -> Request:
    """Answer requests until a POST arrives, and return it."""
    while (request := record_one(listener)).method != "POST":
        pass
    return request


def record_one(listener: socket.socket) -> Request:
    """Answer one request, and return its bytes."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        method, path, version = stream.readline().decode().split()
        headers: dict[str, str] = {}
        while line := stream.readline().decode().rstrip("\r\n"):
            name, _, value = line.partition(": ")
            assert name.lower() not in headers
            headers[name.lower()] = value
        body = stream.read(int(headers.get("content-length", 0)))
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{"id": "h1"}')
    return Request(method, path, version, headers, body)


def request_of(listener: socket.socket, command: list[str]) -> Request:
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with ThreadPoolExecutor(1) as pool:
        recorded = pool.submit(record_post, listener)
        subprocess.run(command, check=True, timeout=60, env=environment | {"CAMIO_OAUTH_TOKEN": TOKEN})
        return recorded.result(timeout=60)


@pytest.mark.parametrize("query", ["camera == 'front'", "1==1", "camera == \"Haustür 門\" and 'a\\\\b' in labels"])
@pytest.mark.parametrize("hook_type", ["query_match", "query_match_ad_hoc", "label_hit"])
def test_hooks_create_sends_what_curl_sends(query: str, hook_type: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("NOT TESTED: `hooks create` beside curl, because curl is not installed (apt install curl)")
    # Written as in Camio's instructions, with escaped quotes in the query.
    quoted = json.dumps(query, ensure_ascii=False)
    data = f'{{"callback_url": "{CALLBACK}", "type": "{hook_type}", "parsed_query": {quoted}}}'
    content_type, authorization = "Content-Type: application/json", f"Authorization: token {TOKEN}"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        url = f"{base}/api/users/me/hooks"
        # --disable ignores the settings in ~/.curlrc.
        theirs = request_of(
            listener, [curl, "--disable", "--silent", "-H", content_type, "-H", authorization, "-d", data, url]
        )
        options = ["--api", base, "--callback-url", CALLBACK, "--type", hook_type, "--query", query]
        ours = request_of(listener, [sys.executable, "-m", "camiohookd", "hooks", "create", *options])
    assert ours[:3] == theirs[:3] == ("POST", "/api/users/me/hooks", "HTTP/1.1")
    assert ours.headers["content-type"] == theirs.headers["content-type"] == "application/json"
    assert ours.headers["authorization"] == theirs.headers["authorization"] == f"token {TOKEN}"
    assert json.loads(ours.body) == json.loads(theirs.body)
    assert ours.body == theirs.body
    # Stricter than required: the only header beyond curl's is the one against compression.
    assert ours.headers.pop("accept-encoding") == "identity"
    assert ours.headers.pop("user-agent") != theirs.headers.pop("user-agent")
    assert ours.headers == theirs.headers
