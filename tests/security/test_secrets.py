"""Send marked secrets (keys, tokens, queries of callback URLs, the TLS key) through every command and endpoint.

No output contains any of them, in any encoding. `everything` runs it all once and keeps the output by source; each test
searches all of it for one secret.
"""

import base64
import html
import json
import logging
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import requests

from camiohookd.system.logs import JournalFormatter
from tests.support.certificates import make_certificate
from tests.support.daemon_process import SAMPLES, Daemon, event_body, free_port
from tests.support.scripted_server import Peer

PATIENCE = 120.0

API_KEY = "MARKED-api.key_of~owner-0123456789abcdef"
SECOND_KEY = "MARKED-second.key-fedcba9876543210"
BAD_KEY = "MARKED bad/key=of the owner"
TOKEN = "MARKED/oauth+token==&<odd>'\"\\signs%"
QUERY = "sig=MARKED/callback+query==&x=%2Fy'z"
TLS_KEY = "the lines of the TLS key, which openssl generates"


def spellings(secret: str) -> set[bytes]:
    """Return `secret` plain, and encoded for URLs, JSON, HTML, Python, base64 (each of the three offsets) and hex."""
    texts = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), quote(quote(secret, safe=""), safe="")}
    texts |= {json.dumps(secret)[1:-1], json.dumps(secret).replace("/", "\\/")[1:-1], html.escape(secret)}
    texts |= {repr(secret)[1:-1], secret.encode().hex()}
    found = {text.encode() for text in texts}
    for offset in range(3):
        whole = base64.b64encode(bytes(offset) + secret.encode())
        middle = whole[4 if offset else 0 : -4]  # only the letters that do not depend on the neighboring bytes
        found |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return found


@dataclass
class Everything:
    """All output, by its source."""

    texts: list[tuple[str, bytes]] = field(default_factory=list)
    tls_key_lines: list[str] = field(default_factory=list)

    def add(self, where: str, text: bytes | str) -> None:
        self.texts.append((where, text.encode(errors="surrogateescape") if isinstance(text, str) else text))

    def places_of(self, secret: str) -> list[str]:
        wanted = spellings(secret)
        return [where for where, text in self.texts if any(each in text for each in wanted)]


class Watcher(threading.Thread):
    """Read the command lines of our programs repeatedly, and the environments of the programs that they start."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[int, bytes], bytes] = {}
        self.rounds = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.02):
            ours = {os.getpid()}
            for folder in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    self._look(folder, ours)
            self.rounds += 1

    def stop(self) -> None:
        self._done.set()
        self.join()

    def _look(self, folder: Path, ours: set[int]) -> None:
        parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        started_by_us = parent in self._programs(ours)
        if not started_by_us and parent not in ours:
            return
        cmdline = (folder / "cmdline").read_bytes()
        if (parent, cmdline) in self.seen:
            return  # between fork and exec, a process still shows its parent's environment
        self.seen[int(folder.name), cmdline] = (folder / "environ").read_bytes() if started_by_us else b""

    def _programs(self, ours: set[int]) -> set[int]:
        return {pid for pid, cmdline in self.seen if b"camiohookd" in cmdline} - ours


def echo(status: int) -> Callable[[socket.socket], None]:
    """Return a server script that repeats the request in the answer's reason, headers and body."""

    def script(connection: socket.socket) -> None:
        request = peers[connection.getsockname()[1]].requests[-1]
        path = request.split()[1]
        body = request + json.dumps({"you sent": request.decode("latin-1")}).encode()
        head = (
            b"HTTP/1.1 %d because of %s\r\nLocation: http://127.0.0.1:1%s\r\nX-Path: %s\r\nContent-Length: %d\r\n\r\n"
        )
        connection.sendall(head % (status, path, path, path, len(body)) + body)

    return script


peers: dict[int, Peer] = {}


def echoing(status: int) -> Peer:
    peer = Peer(echo(status))
    peers[peer.port] = peer
    return peer


LABELER = """
import os, sys
print("started by", os.environ, sys.argv, file=sys.stderr)

def compute_labels(images):
    print("asked for", images, file=sys.stderr)
    print(open("/proc/self/environ").read(), open(f"/proc/{os.getppid()}/cmdline").read(), file=sys.stderr)
    if images and images[0]["timestamp"] == "fail":
        raise RuntimeError(f"{os.environ} {images}")
    return {image["timestamp"]: {} for image in images}
"""


def secret_event(url: str, timestamp: str = "2017-05-05T01:31:13") -> bytes:
    picture = base64.b64encode((SAMPLES / "coffee.jpg").read_bytes()).decode()
    image = {"timestamp": timestamp, "image_b64": picture}
    return json.dumps({"callback_url": f"{url}?{QUERY}", "camera": "front", "images": [image]}).encode()


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    one, watcher = Everything(), Watcher()
    watcher.start()
    try:
        use_everything(one, tmp_path_factory.mktemp("secrets"))
    finally:
        watcher.stop()
        for peer in peers.values():
            peer.close()
    assert watcher.rounds > 10
    for (pid, cmdline), environ in watcher.seen.items():
        one.add(f"command line of {pid}: {cmdline[:80]!r}", cmdline)
        one.add(f"environment of {pid}: {cmdline[:80]!r}", environ)
    # Without these, the watcher would have tested nothing.
    assert any(b"python_child.py" in cmdline and environ for (_, cmdline), environ in watcher.seen.items())
    yield one


def use_everything(one: Everything, folder: Path) -> None:
    (folder / "labeler.py").write_text(LABELER)
    (folder / "api-keys").write_text(f"second {SECOND_KEY}\n")
    callbacks = [echoing(status) for status in (200, 302, 403, 503)]
    simulator = f"127.0.0.1:{free_port()}"
    allowed = ["camio.com", "http://127.0.0.1:1", f"http://{simulator}"]
    allowed += [peer.url.removesuffix("/callback/1") for peer in callbacks]
    settings = {
        "CAMIOHOOKD_HOOK_API_KEY": API_KEY,
        "CAMIO_OAUTH_TOKEN": TOKEN,
        "CAMIOHOOKD_LOG_LEVEL": "debug",
        "CAMIOHOOKD_LABELER_KIND": "python",
        "CAMIOHOOKD_LABELER_SCRIPT": str(folder / "labeler.py"),
        "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": json.dumps(allowed),
    }
    daemon = Daemon(folder, "", settings)
    with daemon:
        use_endpoints(one, daemon, callbacks)
        reload_good_and_bad(daemon, folder)
        use_queue_commands(one, daemon, folder / "exported while it runs")
        use_other_commands(one, daemon, folder, simulator)
        assert daemon.stop() == 0
    use_queue_commands(one, daemon, folder / "exported while it does not")
    one.add("log", daemon.log_path.read_bytes())
    assert "labeling failed 3 times: " in daemon.log
    use_tls(one, folder)


def use_endpoints(one: Everything, daemon: Daemon, callbacks: list[Peer]) -> None:
    keys = [API_KEY, SECOND_KEY]
    for number, peer in enumerate(callbacks):
        post(one, daemon, keys[number % 2], secret_event(peer.url))
    post(one, daemon, API_KEY, secret_event(f"{callbacks[0].url}/2", timestamp="fail"))
    urls = ["http://127.0.0.1:1/refused", "https://hook.example/unlisted", "http://10.0.0.1/private", "https://"]
    urls += ["https://user:pw@camio.com/", "ftp://camio.com/", "https://b\u00fccher.example/"]
    for url in urls:
        post(one, daemon, API_KEY, secret_event(url))
    for body in (b"", b"{", secret_event("http://127.0.0.1:1/")[:-5], b"\xff" * 50, b"[" * 5000):
        post(one, daemon, API_KEY, body)
    ways = ["{}", "{}?limit=0&after={}", "{}x", "{}/", "/{}"]
    for path in [*(way.replace("{}", API_KEY) for way in ways), quote(TOKEN)]:
        get(one, f"http://127.0.0.1:{daemon.port}/tasks/{path}")
        get(one, f"http://127.0.0.1:{daemon.admin_port}/tasks/{path}")
    for path in ("/metrics", "/healthz", "/readyz", "/openapi.json", f"/metrics?{API_KEY}", f"/{API_KEY}"):
        get(one, f"http://127.0.0.1:{daemon.admin_port}{path}")
    for raw in malformed():
        with socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as connection:
            with suppress(OSError):  # the daemon may have closed the connection
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
            one.add(f"answer to {raw[:40]!r}", read_all(connection))
    wait_until(lambda: (daemon.metric("events_delivered_total") or 0) >= 1, daemon)
    wait_until(lambda: daemon.metric("delivery_retries_total"), daemon)
    wait_until(lambda: daemon.metric('tasks_failed_total{reason="not-allowed"}'), daemon)
    wait_until(lambda: daemon.metric('tasks_failed_total{reason="labeling"}'), daemon)
    get(one, f"http://127.0.0.1:{daemon.admin_port}/metrics")
    get(one, daemon_url(daemon, API_KEY))
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    one.add("status of the process", status)


def malformed() -> list[bytes]:
    key = API_KEY.encode()
    return [
        b"GET /tasks/" + key + b" HTTP/9.9\r\n\r\n",
        b"GET /tasks/" + key + b"\r\n\r\n",
        b"/tasks/" + key + b"\r\n\r\n",
        b"BREW /tasks/" + key + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /tasks/" + key + b" HTTP/1.1\r\nHost: x\r\nContent-Length: " + key + b"\r\n\r\n",
        b"POST /tasks/" + key + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + key + b"\r\n",
        b"POST /tasks/" + key + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + key,
        b"GET / HTTP/1.1\r\nHost: " + key + b"\r\nX-Forwarded-For: " + key + b"\r\n" + key + b"\r\n\r\n",
        b"GET /tasks/%ff" + key + b"%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://" + key + b"/tasks/" + key + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        key * 2000,
    ]


def reload_good_and_bad(daemon: Daemon, folder: Path) -> None:
    keys, config = folder / "api-keys", folder / "camiohookd.toml"
    good = keys.read_text()
    for bad in (f"name {BAD_KEY}\n", f"{SECOND_KEY}\n", f"a {SECOND_KEY}\na {SECOND_KEY}\n", f"a {SECOND_KEY[:7]}\n"):
        keys.write_text(bad)
        assert "not reloaded" in daemon.reload()
    keys.write_text(good)
    for bad in bad_settings():
        config.write_text(bad)
        daemon.reload()
    config.write_text("[log]\nlevel = 'debug'\n")
    assert "reloaded:" in daemon.reload()


def bad_settings() -> list[str]:
    return [
        f"[hook]\napi_key = '{BAD_KEY}'\n",
        f"[hook]\napi_key = ['{API_KEY}']\n",
        f"[hook]\napi_key = '{API_KEY}\n",
        f"[hook]\napi_key = '{API_KEY}'\napi_key = '{API_KEY}'\n",
        f"api_key = '{API_KEY}'\n",
        f"[hook]\napi_keyy = '{API_KEY}'\n",
        f"[hook]\nlisten = 1\napi_key = '{API_KEY}'\n",
    ]


def use_queue_commands(one: Everything, daemon: Daemon, exported: Path) -> None:
    ids = ["1", "2", "4", "5", "7"]  # delivered, answered 302, answered 503, not labellable, host not listed
    looking = [["queue", "show", task_id] for task_id in (*ids, "99")]
    looking += [["queue", "export", task_id, str(exported / task_id)] for task_id in (*ids, "99")]
    run_all(one, daemon, ["queue", "list"], ["queue", "list", "--json"], *looking)
    run(one, daemon, "queue", "retry", *ids)
    run(one, daemon, "queue", "retry", "--failed")
    run(one, daemon, "queue", "drop", "1", "99")
    files = [path for path in exported.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"task.json", "payload.json", "picture-001.jpg"}
    for path in files:
        one.add(f"exported {path.name}", path.read_bytes())


def use_other_commands(one: Everything, daemon: Daemon, folder: Path, simulator: str) -> None:
    run_all(
        one,
        daemon,
        *(["check"], ["example-config"], ["models"], ["devices"], ["--help"], ["key", "list"]),
        ["label", str(SAMPLES / "coffee.jpg"), str(folder / "api-keys"), str(folder / "none.jpg")],
        ["models", "add", str(folder / "api-keys")],
        ["key", "new", "second"],  # the name is taken
        ["key", "retire", "third"],
        ["serve"],  # the state directory is in use
        ["simulate", "--url", f"http://127.0.0.1:{daemon.port}", "--listen", simulator, "--events", "1"],
        ["simulate", "--url", f"http://127.0.0.1:{daemon.port}", "--events", "1"],  # host not listed
        ["simulate", "--url", "http://127.0.0.1:1", "--events", "1"],
    )
    for number, text in enumerate(bad_settings()):
        (folder / f"bad-{number}.toml").write_text(text)
    bad = [str(path) for path in folder.glob("bad-*.toml")]
    run_all(one, daemon, *(["check", "--config", path] for path in bad), without="CAMIOHOOKD_HOOK_API_KEY")
    run(one, daemon, "simulate", "--url", "http://127.0.0.1:1", "--config", bad[0])
    use_hooks(one, daemon)


def use_hooks(one: Everything, daemon: Daemon) -> None:
    create = ["hooks", "create", "--query", "camera == 'front'"]
    registering = [*create, "--public-url", "https://x.example", "--key-name", "second"]
    apis = [["--api", f"http://127.0.0.1:{echoing(status).port}"] for status in (200, 302, 401)]
    run_all(one, daemon, *([*command, *api] for api in apis for command in (registering, ["hooks", "list"])))
    run_all(
        one,
        daemon,
        ["hooks", "delete", "7", *apis[0]],
        ["hooks", "list", "--api", "http://127.0.0.1:1"],
        ["hooks", "test", "--query", "camera == "],
    )
    for url in (f"https://hook.example/tasks/{API_KEY}?x", f"nonsense/{API_KEY}"):
        run(one, daemon, *create, "--callback-url", "-", *apis[0], stdin=url)
    run(one, daemon, "hooks", "list", "--token-file", "-", *apis[0], stdin=f"two\nlines {TOKEN}")


def use_tls(one: Everything, folder: Path) -> None:
    pair = make_certificate(folder)
    lines = pair.key.read_text().splitlines()
    one.tls_key_lines += lines[1:-1]
    other = make_certificate(folder, "other")
    config = folder / "camiohookd.toml"

    def settings(cert: object, key: object) -> str:
        return f"[hook]\ntls_cert = '''{cert}'''\ntls_key = '''{key}'''\n"

    (folder / "torn.key").write_text("\n".join(lines[:2]))
    config.write_text(settings(pair.cert, pair.key))
    daemon = Daemon(folder, "camio.com", {"CAMIOHOOKD_HOOK_API_KEY": API_KEY, "CAMIOHOOKD_LOG_LEVEL": "debug"})
    daemon.log_path = folder / "tls.log"
    with daemon:
        context = ssl.create_default_context(cafile=str(pair.cert))
        with (
            socket.create_connection(("127.0.0.1", daemon.port), PATIENCE) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(f"GET /tasks/{API_KEY} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            one.add("answer by TLS", read_all(connection))
        get(one, f"http://127.0.0.1:{daemon.port}/tasks/{API_KEY}")  # no TLS
        pem = pair.key.read_text()
        bad = [(pair.key, pair.key), (pair.cert, other.key), (pair.cert, folder / "torn.key"), (pair.cert, pem)]
        for cert, key in [*bad, (pem, pair.key), (pair.cert, pair.cert)]:
            config.write_text(settings(cert, key))
            assert "not reloaded" in daemon.reload()
        run(one, daemon, "check")
        one.add("metrics with TLS", daemon.admin("/metrics")[1])
    one.add("log with TLS", daemon.log_path.read_bytes())


def run_all(one: Everything, daemon: Daemon, *commands: Sequence[str], without: str = "") -> None:
    """Run the commands, four at a time, because each takes a while to start."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda command: run(one, daemon, *command, without=without), commands))


def run(one: Everything, daemon: Daemon, *arguments: str, stdin: str = "", without: str = "") -> None:
    environ = {name: value for name, value in daemon.environ.items() if name != without}
    command = [sys.executable, "-m", "camiohookd", *arguments]
    result = subprocess.run(command, env=environ, input=stdin.encode(), capture_output=True, timeout=PATIENCE)
    one.add(f"output of {arguments}", result.stdout)
    one.add(f"errors of {arguments}", result.stderr)
    assert b"Traceback" not in result.stderr, result.stderr


def daemon_url(daemon: Daemon, key: str) -> str:
    return f"http://127.0.0.1:{daemon.port}/tasks/{key}"


def post(one: Everything, daemon: Daemon, key: str, body: bytes) -> None:
    answer = requests.post(daemon_url(daemon, key), body, timeout=PATIENCE)
    one.add(f"answer {answer.status_code} to {body[:60]!r}", f"{answer.headers}{answer.text}")


def get(one: Everything, url: str) -> None:
    with suppress(requests.RequestException):
        answer = requests.get(url, timeout=PATIENCE)
        one.add(f"answer {answer.status_code} to GET {url[:40]}", f"{answer.headers}{answer.text}")


def read_all(connection: socket.socket) -> bytes:
    received = b""
    with suppress(OSError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def wait_until(condition: Callable[[], object], daemon: Daemon) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, daemon.log
        time.sleep(0.05)


@pytest.mark.parametrize(
    "secret", [API_KEY, SECOND_KEY, BAD_KEY, TOKEN, QUERY], ids=["key", "second key", "bad key", "token", "query"]
)
def test_no_output_contains_a_secret_in_any_spelling(secret: str, everything: Everything) -> None:
    assert len(everything.texts) > 250
    assert everything.places_of(secret) == []


def test_no_output_contains_a_line_of_the_tls_key(everything: Everything) -> None:
    assert everything.tls_key_lines
    assert [place for line in everything.tls_key_lines for place in everything.places_of(line)] == []


def test_no_output_contains_part_of_a_secret(everything: Everything) -> None:
    allowed = b"MARKED"
    assert [where for where, text in everything.texts if allowed in text] == []


@pytest.mark.parametrize("secret", [API_KEY, TOKEN, QUERY], ids=["key", "token", "query"])
def test_the_search_finds_a_secret_in_every_spelling(secret: str) -> None:
    data = secret.encode()
    written = [data, quote(secret, safe="").encode(), json.dumps([secret]).encode(), html.escape(secret).encode()]
    written += [base64.b64encode(before + data + b"/behind") for before in (b"", b"x", b"xy", b"xyz")]
    written += [base64.urlsafe_b64encode(b"xy" + data), data.hex().encode(), repr([secret]).encode()]
    for text in written:
        one = Everything()
        one.add("somewhere", b"before " + text + b" behind")
        assert one.places_of(secret) == ["somewhere"], text


def test_masks_key_and_query_in_a_traceback_that_repeats_the_url() -> None:
    try:
        try:
            requests.post(f"http://127.0.0.1:1/tasks/{API_KEY}?{QUERY}", timeout=PATIENCE)
        except requests.RequestException as error:
            raise RuntimeError("out of threads") from error
    except RuntimeError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.LogRecord("camiohookd.worker.worker", logging.ERROR, "worker.py", 1, "failed", (), info)
    one = Everything()
    one.add("log", JournalFormatter([API_KEY]).format(record))
    assert b"Max retries exceeded" in one.texts[0][1]
    assert one.places_of(API_KEY) == one.places_of(QUERY) == []


def test_the_daemon_and_the_commands_leave_no_core_file(tmp_path: Path) -> None:
    if not dumps_core(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path)):
        pytest.skip("NOT TESTED: core files, because this system makes none of any program")
    with closing(Peer(lambda _connection: None)) as camio, Daemon(tmp_path, f"http://127.0.0.1:{camio.port}") as daemon:
        requests.post(daemon.url, event_body(camio.url), timeout=PATIENCE).raise_for_status()
        wait_until(lambda: camio.requests, daemon)
        assert not dumps_core(daemon.process)
    with closing(Peer(lambda _connection: None)) as camio:
        command = [sys.executable, "-m", "camiohookd", "hooks", "list", "--api", f"http://127.0.0.1:{camio.port}"]
        waiting = subprocess.Popen(command, env=os.environ | {"CAMIO_OAUTH_TOKEN": TOKEN}, cwd=tmp_path)
        wait_until(lambda: camio.requests, daemon)
        assert not dumps_core(waiting)


def dumps_core(process: "subprocess.Popen[bytes]") -> bool:
    """End it as a crash does, with core files allowed; whether the kernel says that it made one."""
    with suppress(PermissionError, ValueError):
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    process.send_signal(signal.SIGABRT)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    if process.stdin is not None:
        process.stdin.close()
    assert os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


def test_the_unit_allows_no_core_file() -> None:
    unit = Path(__file__).parents[2] / "systemd" / "camiohookd.service"
    assert "LimitCORE=0" in unit.read_text().splitlines()
