"""The status page of a real daemon, as a browser without scripts sees it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.config import admin_password
from tests.support.certificates import Pair, make_certificate
from tests.support.daemon_process import Daemon, post_event
from tests.support.page import PATIENCE, Page
from tests.support.threaded_simulator import FakeCamioThread

PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, camio: FakeCamioThread) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("page"), camio.origin) as daemon:
        yield daemon


@pytest.fixture
def page(daemon: Daemon) -> Page:
    return Page(f"http://127.0.0.1:{daemon.admin_port}")


def test_says_in_words_that_it_works(page: Page) -> None:
    page.open("/")
    assert page.status == 200
    assert "<h1" in page.text and "It works" in page.text
    assert "ssdlite-mobilenet-v2-coco" in page.text


def test_every_page_forbids_what_it_does_not_need(page: Page) -> None:
    for path in ("/", "/failed", "/no/such/page", "/live"):
        with page.browser.get(f"{page.url}{path}", timeout=PATIENCE, stream=True) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect")
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"


def test_files_that_do_not_change_are_kept_by_the_browser(page: Page) -> None:
    text = page.open("/").text
    address = text.partition('<link rel="stylesheet" href="')[2].partition('"')[0]
    assert "immutable" in page.open(address).answer.headers["Cache-Control"]
    assert page.answer.headers["Content-Type"] == "text/css; charset=UTF-8"
    assert page.open(address.partition("?")[0]).answer.headers["Cache-Control"] == "no-store"
    assert page.open("/static/no.css").status == 404
    assert page.open("/static/..%2fendpoint.py").status == 404


def test_what_others_wrote_is_text_in_the_page(page: Page, daemon: Daemon, camio: FakeCamioThread) -> None:
    evil = '<script>alert("1")</script>'
    post_event(daemon, camio, "evil", camera=evil)
    camio.wait_until(lambda deliveries: bool(deliveries.get("evil")), PATIENCE)
    text = page.open("/").text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in text


def test_an_error_is_a_page_for_a_browser_and_json_for_a_program(page: Page) -> None:
    page.open("/nothing", headers={"Accept": "text/html"})
    assert page.status == 404 and "There is no such page" in page.text
    page.open("/nothing")
    assert page.status == 404 and page.answer.json()["error"]["code"] == "unknown_path"


def test_the_button_sends_an_event_the_whole_way(page: Page) -> None:
    page.open("/").send("/test")
    assert "The test event got through" in page.text
    assert "cat 0." in page.text


def test_numbers_arrive_by_server_sent_events(page: Page) -> None:
    with page.browser.get(f"{page.url}/live", params={"page": "now"}, timeout=PATIENCE, stream=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = (line.decode() for line in answer.iter_lines())
        assert next(line for line in lines if line.startswith("event:")) == "event: numbers"
        message = json.loads(next(lines).removeprefix("data: "))
    assert message["texts"]["verdict"] == "It works"
    assert message["status"]["queue"] == "ok"


def test_pages_that_watch_are_bounded(page: Page) -> None:
    answers: list[requests.Response] = []
    try:
        answers.extend(page.browser.get(f"{page.url}/live", timeout=PATIENCE, stream=True) for _ in range(9))
        assert [answer.status_code for answer in answers] == [200] * 8 + [503]
    finally:
        for answer in answers:
            answer.close()
    # Those that left make room, as soon as the daemon has noticed.
    while (answer := page.browser.get(f"{page.url}/live", timeout=PATIENCE, stream=True)).status_code == 503:
        answer.close()
    answer.close()


@pytest.mark.parametrize(
    "forge",
    [
        lambda page: page.post("/test"),
        lambda page: page.post("/test", token="0" * 64),
        lambda page: page.open("/").send("/test", headers={"Origin": "https://attacker.example"}),
        lambda page: page.open("/").send("/test", headers={"Origin": "null"}),
        lambda page: page.open("/").send("/test", token="größer"),
    ],
    ids=["no token", "another token", "another site", "no site", "no hexadecimal token"],
)
def test_a_forged_form_is_refused(page: Page, forge: Callable[[Page], Page]) -> None:
    forge(page)
    assert page.status == 403
    assert "The form was refused" in page.text


def test_a_large_or_broken_form_is_refused(page: Page) -> None:
    assert page.post("/test", token="x" * 70_000).status == 413
    answer = page.browser.post(f"{page.url}/test", data=b"\xff=\xff", timeout=PATIENCE)
    assert answer.status_code == 400


def test_a_page_of_another_site_cannot_read_it_through_a_name(page: Page) -> None:
    page.open("/", headers={"Host": "attacker.example"})
    assert page.status == 403
    assert "Not at this address" in page.text


def test_failed_events_are_grouped_by_cause_and_tried_again_together(tmp_path: Path) -> None:
    with FakeCamioThread(lambda event, nth: ScriptedResponse(400)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        page = Page(f"http://127.0.0.1:{daemon.admin_port}")
        assert "No event has failed" in page.open("/failed").text
        for number in range(3):
            post_event(daemon, camio, f"event-{number}")
        daemon.wait_until(lambda: daemon.metric('tasks_failed_total{reason="refused"}') == 3)
        page.open("/failed")
        assert "The callback refused the labels" in page.text
        assert "Try all 3 again" in page.text
        camio.answer_with(lambda event, nth: ScriptedResponse(200))
        page.send("/failed")
        assert "3 events are tried again." in page.text
        camio.wait_until(lambda found: all(each[-1].accepted for each in found.values()), PATIENCE)
        assert daemon.metric('queue_tasks{state="failed"}') == 0
        assert page.open("/failed").post("/failed", token="x").status == 403


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Pair]]:
    """A daemon whose private listener has a password and TLS, and its certificate."""
    folder = tmp_path_factory.mktemp("guarded")
    pair = make_certificate(folder, of="IP:127.0.0.1,DNS:box.local")
    admin_password.write(folder / "admin-password", PASSWORD)
    settings = {"CAMIOHOOKD_ADMIN_TLS_CERT": str(pair.cert), "CAMIOHOOKD_ADMIN_TLS_KEY": str(pair.key)}
    daemon = Daemon(folder, "http://127.0.0.1:1", settings)
    daemon.start(wait=False)
    try:
        daemon.wait_until(lambda: "ready: events on" in daemon.log)
        yield daemon, pair
    finally:
        daemon.kill()


@pytest.fixture
def phone(guarded: tuple[Daemon, Pair]) -> Page:
    daemon, pair = guarded
    return Page(f"https://127.0.0.1:{daemon.admin_port}", verify=str(pair.cert))


@pytest.mark.parametrize("path", ["/", "/failed", "/live?page=now", "/failed?again=3"])
def test_without_a_login_there_is_only_the_form_for_the_password(phone: Page, path: str) -> None:
    phone.open(path)
    assert phone.status == 200
    assert phone.path.startswith("/login?next=%2F")
    assert 'type="password"' in phone.text
    assert "model" not in phone.text


@pytest.mark.parametrize("path", ["/failed", "/test", "/logout"])
def test_without_a_login_no_form_is_taken(phone: Page, path: str) -> None:
    assert phone.open("/login").post(path, token="0" * 64).status == 401


def test_the_password_begins_a_session_whose_cookie_scripts_and_other_sites_do_not_get(phone: Page) -> None:
    phone.open("/failed").send("/login", password=PASSWORD)
    assert (phone.status, phone.path) == (200, "/failed")
    [answer] = [each for each in phone.answer.history if each.status_code == 303]
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-camiohookd=")
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    phone.send("/logout")
    assert phone.path == "/login"
    assert phone.open("/failed").path.startswith("/login")


def test_a_session_that_was_ended_is_not_valid_again(phone: Page) -> None:
    phone.open("/").send("/login", password=PASSWORD)
    stolen = dict(phone.browser.cookies)
    phone.send("/logout")
    phone.browser.cookies.update(stolen)
    assert phone.open("/").path.startswith("/login")


@pytest.mark.parametrize("wrong", ["", "wrong", PASSWORD.upper(), PASSWORD * 500, "grün"])
def test_a_wrong_password_begins_no_session(phone: Page, wrong: str) -> None:
    phone.open("/login").send("/login", password=wrong)
    assert phone.status == 403
    assert "This is not the password." in phone.text
    assert not phone.browser.cookies


@pytest.mark.parametrize("address", ["https://attacker.example/", "//attacker.example", "/\\attacker.example", "x"])
def test_a_login_leads_to_no_other_site(phone: Page, address: str) -> None:
    phone.open("/login", params={"next": address}).send("/login", password=PASSWORD)
    assert (phone.status, phone.path) == (200, "/")


def test_a_login_form_of_another_site_is_refused(phone: Page) -> None:
    assert phone.open("/login").post("/login", password=PASSWORD).status == 403


def test_numbers_take_the_password_from_behind_a_proxy_only(phone: Page) -> None:
    assert phone.open("/metrics").status == 200
    proxied = {"X-Forwarded-For": "192.0.2.7"}
    assert phone.open("/healthz", headers=proxied).status == 200
    for path in ("/metrics", "/readyz", "/openapi.json"):
        refused = phone.open(path, headers=proxied)
        assert refused.status == 401
        assert refused.answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert phone.open(path, headers=proxied, auth=("prometheus", PASSWORD)).status in (200, 503)


def test_a_name_of_the_certificate_is_a_host(phone: Page) -> None:
    assert phone.open("/healthz", headers={"Host": "box.local"}).status == 200
    assert phone.open("/healthz", headers={"Host": "other.local"}).status == 403


def test_another_password_after_a_reload_ends_the_sessions(guarded: tuple[Daemon, Pair], phone: Page) -> None:
    daemon, _ = guarded
    phone.open("/").send("/login", password=PASSWORD)
    try:
        made = daemon.command("admin", "password", "--stdin", stdin="another one")
        assert "Tell the daemon: sudo systemctl reload camiohookd" in made.stderr
        daemon.reload()
        assert phone.open("/").path.startswith("/login")
        assert phone.send("/login", password=PASSWORD).status == 403
        assert phone.send("/login", password="another one").path == "/"
    finally:
        daemon.command("admin", "password", "--stdin", stdin=PASSWORD)
        daemon.reload()


def test_a_daemon_for_other_machines_does_not_start_without_a_password(tmp_path: Path) -> None:
    settings = {"CAMIOHOOKD_ADMIN_LISTEN": "0.0.0.0:0", "CAMIOHOOKD_ADMIN_INSECURE": "true"}
    daemon = Daemon(tmp_path, "http://127.0.0.1:1", settings)
    refused = daemon.command("serve", check=False)
    assert refused.returncode == 78
    assert "which takes a password; make one: sudo camiohookd admin password" in refused.stderr
