"""The status page of a real daemon, as a browser without scripts sees it."""

import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest
import requests

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.config import admin_password, rule_text
from tests.support.certificates import Pair, make_certificate
from tests.support.daemon_process import SAMPLES, Daemon, post_event
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


def test_says_that_the_box_works(page: Page) -> None:
    page.open("/")
    assert page.status == 200
    assert "<h1" in page.text and "It works" in page.text
    assert "ssdlite-mobilenet-v2-coco" in page.text


def test_every_page_has_a_strict_content_security_policy(page: Page) -> None:
    for path in ("/", "/failed", "/no/such/page", "/live"):
        with page.browser.get(f"{page.url}{path}", timeout=PATIENCE, stream=True) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect")
            assert "unsafe" not in policy
            assert answer.headers["Referrer-Policy"] == "same-origin"  # without one, browsers send forms as of no site
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


def test_text_from_others_is_escaped(page: Page, daemon: Daemon, camio: FakeCamioThread) -> None:
    evil = '<script>alert("1")</script>'
    post_event(daemon, camio, "evil", camera=evil)
    camio.wait_until(lambda deliveries: bool(deliveries.get("evil")), PATIENCE)
    daemon.wait_until(lambda: "&lt;script&gt;" in page.open("/events").text)
    of_camera = [f"{path}?camera={quote(evil)}" for path in ("/events", "/cameras/zones", "/cameras/teach")]
    for path in ("/", "/events", "/cameras", *of_camera):
        text = page.open(path).text
        assert page.status == 200
        assert "<script>alert" not in text, path
        assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in text, path


def test_an_error_is_a_page_for_a_browser_and_json_for_a_program(page: Page) -> None:
    page.open("/nothing", headers={"Accept": "text/html"})
    assert page.status == 404 and "There is no such page" in page.text
    page.open("/nothing")
    assert page.status == 404 and page.answer.json()["error"]["code"] == "unknown_path"


def test_the_button_sends_a_test_event_through_the_service(page: Page) -> None:
    page.open("/").send("/test")
    assert "The test event was labeled and delivered" in page.text
    assert "cat 0." in page.text


def test_numbers_arrive_by_server_sent_events(page: Page) -> None:
    with page.browser.get(f"{page.url}/live", params={"page": "now"}, timeout=PATIENCE, stream=True) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        lines = (line.decode() for line in answer.iter_lines())
        assert next(line for line in lines if line.startswith("event:")) == "event: numbers"
        message = json.loads(next(lines).removeprefix("data: "))
    assert message["texts"]["verdict"] == "It works"
    assert message["status"]["queue"] == "ok"


def test_limits_the_number_of_open_pages(page: Page) -> None:
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


def test_refuses_another_site_that_resolves_to_this_address(page: Page) -> None:
    page.open("/", headers={"Host": "attacker.example"})
    assert page.status == 403
    assert "The page is not served at this address" in page.text


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
def event(daemon: Daemon, camio: FakeCamioThread) -> str:
    """An event of the camera "yard" with two pictures, labeled and delivered; its id."""
    pictures = [(SAMPLES / name).read_bytes() for name in ("chelsea.jpg", "astronaut.jpg")]
    accepted = post_event(daemon, camio, "yard-1", camera="yard", pictures=pictures)
    camio.wait_until(lambda deliveries: bool(deliveries.get("yard-1")), PATIENCE)
    page = Page(f"http://127.0.0.1:{daemon.admin_port}")
    # The history is written behind the event, and has a thumbnail of one picture at least.
    address = f"/events/{accepted['id']}"
    daemon.wait_until(lambda: f"{address}/pictures/" in page.open(address).text and "Try 1" in page.text)
    return str(accepted["id"])


def test_an_event_shows_pictures_objects_times_and_the_reply(page: Page, event: str) -> None:
    text = page.open(f"/events/{event}").text
    assert page.status == 200
    for shown in ("yard", "Picture 2", "cat", "person", "Accepted from Camio", "Answered 200 OK", "polygon"):
        assert shown in text, shown
    address = re.findall(rf"/events/{event}/pictures/[01]\.jpg", text)[0]
    thumbnail = page.open(address).answer
    assert thumbnail.headers["Content-Type"] == "image/jpeg"
    assert thumbnail.content.startswith(b"\xff\xd8")
    assert page.open(f"/events/{event}/pictures/7.jpg").status == 404
    assert page.open("/events/123456789").status == 404


def test_events_are_shown_by_camera_label_and_state(page: Page, event: str) -> None:
    card = f'id="event-{event}"'
    for query in ("", "?camera=yard", "?label=cat", "?state=delivered", "?camera=yard&label=person&state=delivered"):
        assert card in page.open(f"/events{query}").text, query
    for query in ("?camera=other", "?label=dog", "?state=failed", "?unnamed=1", f"?before={event}"):
        assert card not in page.open(f"/events{query}").text, query


def test_a_card_has_its_boxes_drawn_and_its_labels_in_words(page: Page, event: str) -> None:
    text = page.open("/events?camera=yard").text
    assert f'<img src="/events/{event}/pictures/' in text
    assert 'class="box"' in text
    assert "cat 0." in text and "person 0." in text


def test_a_changed_event_arrives_as_a_card(page: Page, daemon: Daemon, camio: FakeCamioThread) -> None:
    address = f"{page.url}/live?page=events&camera=gate"
    with page.browser.get(address, timeout=PATIENCE, stream=True) as answer:
        post_event(daemon, camio, "elsewhere", camera="elsewhere")
        post_event(daemon, camio, "gate", camera="gate")
        lines = (line.decode() for line in answer.iter_lines())
        assert next(line for line in lines if line.startswith("event:")) == "event: card"
        message = json.loads(next(lines).removeprefix("data: "))
    assert f'id="event-{message["id"]}"' in message["html"]
    assert "gate" in message["html"]


def test_an_event_is_exported_as_an_archive(page: Page, event: str) -> None:
    with ZipFile(BytesIO(page.open(f"/events/{event}/export.zip").answer.content)) as archive:
        assert archive.testzip() is None
        assert json.loads(archive.read("task.json"))["camera"] == "yard"


def test_a_replay_shows_what_another_rule_would_have_sent(page: Page, event: str) -> None:
    page.open(f"/events/{event}").send(f"/events/{event}/replay", rule='[[rule]]\nignore_labels = ["cat"]\n')
    assert "No longer sent: <strong>cat</strong>" in page.text
    assert "Nothing was sent." in page.text
    page.send(f"/events/{event}/replay", rule='[[rule]]\nlabel_map = { cat = "pet" }\n')
    assert "Also sent: <strong>pet</strong>" in page.text
    page.send(f"/events/{event}/replay", score="0.999")
    assert "No longer sent: <strong>cat, person</strong>" in page.text
    page.send(f"/events/{event}/replay", score="two")
    assert "not valid TOML" in page.text
    assert page.status == 200


def test_a_drop_needs_a_form_of_this_page(page: Page, daemon: Daemon, camio: FakeCamioThread) -> None:
    task_id = post_event(daemon, camio, "to-drop", camera="gone")["id"]
    camio.wait_until(lambda deliveries: bool(deliveries.get("to-drop")), PATIENCE)
    assert page.post(f"/events/{task_id}/drop").status == 403
    page.open(f"/events/{task_id}").send(f"/events/{task_id}/drop")
    assert page.path == "/events"
    assert json.loads(daemon.command("queue", "show", task_id, check=False).stdout or "null") is None
    assert "This event is no longer in the queue" in page.open(f"/events/{task_id}").text


def test_a_camera_has_a_card_and_a_zone_editor(page: Page, event: str) -> None:
    text = page.open("/cameras").text
    assert ">yard" in text and "1 event" in text
    text = page.open("/cameras/zones?camera=yard").text
    assert page.status == 200
    assert f"/events/{event}/pictures/" in text
    assert page.open("/cameras/zones?camera=none").status == 404


def preview(page: Page, camera: str, zones: object) -> dict[str, Any]:
    query = {"camera": camera, "zones": json.dumps(zones)}
    found: dict[str, Any] = page.open("/cameras/preview", params=query).answer.json()
    return found


def test_the_preview_writes_a_rule_and_says_what_it_would_send(page: Page, event: str) -> None:
    everywhere = {"name": "all", "kind": "include", "polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    nowhere = {"name": "top", "kind": "include", "polygon": [[0, 0], [1, 0], [1, 0.01]]}
    found = preview(page, "yard", [everywhere])
    assert found["left_out"].count(None) >= 2
    assert not found["problem"] and not found["replaces"]
    [rule] = rule_text.read(found["text"], "text")
    assert (rule.camera, [zone.name for zone in rule.zone]) == ("yard", ["all"])
    assert set(preview(page, "yard", [nowhere])["left_out"]) >= {"outside zone top"}
    for broken in ([{"name": "a"}], "x", [{**everywhere, "polygon": [[0, 0], [2, 0], [1, 1]]}]):
        assert preview(page, "yard", broken)["problem"].startswith("the zones cannot be read")


def test_trends_count_what_happened(page: Page, event: str) -> None:
    trends = page.open("/trends/data?span=hour").answer.json()
    assert sum(filter(None, trends["accepted"])) >= 1
    assert "cat" in trends["labels"]
    for span in ("hour", "day", "week", "nonsense"):
        assert "Events accepted" in page.open(f"/trends?span={span}").text


def test_the_doctors_findings_come_one_after_another(tmp_path: Path) -> None:
    with Daemon(tmp_path, "http://127.0.0.1:1") as daemon:
        page = Page(f"http://127.0.0.1:{daemon.admin_port}")
        assert "Check now" in page.open("/doctor").text
        page.send("/doctor")
        assert "Refresh" in page.answer.headers or "All is well" in page.text
        daemon.wait_until(lambda: ">settings</strong>" in page.open("/doctor").text)
        assert daemon.stop() == 0  # also in the middle of it


def test_without_a_history_the_pages_say_so(tmp_path: Path) -> None:
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_ADMIN_HISTORY": "0"}) as daemon:
        page = Page(f"http://127.0.0.1:{daemon.admin_port}")
        task_id = post_event(daemon, camio, "one")["id"]
        camio.wait_until(lambda deliveries: bool(deliveries.get("one")), PATIENCE)
        assert "No event is kept" in page.open("/events").text
        assert "no pictures and times of this event" in page.open(f"/events/{task_id}").text
        assert page.open("/cameras").status == page.open("/trends").status == 200


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
    assert "The password is wrong." in phone.text
    assert not phone.browser.cookies


@pytest.mark.parametrize("address", ["https://attacker.example/", "//attacker.example", "/\\attacker.example", "x"])
def test_a_login_redirects_to_no_other_site(phone: Page, address: str) -> None:
    phone.open("/login", params={"next": address}).send("/login", password=PASSWORD)
    assert (phone.status, phone.path) == (200, "/")


def test_a_login_form_of_another_site_is_refused(phone: Page) -> None:
    assert phone.open("/login").post("/login", password=PASSWORD).status == 403


def test_metrics_need_the_password_only_through_a_proxy(phone: Page) -> None:
    assert phone.open("/metrics").status == 200
    proxied = {"X-Forwarded-For": "192.0.2.7"}
    assert phone.open("/healthz", headers=proxied).status == 200
    for path in ("/metrics", "/readyz", "/openapi.json"):
        refused = phone.open(path, headers=proxied)
        assert refused.status == 401
        assert refused.answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert phone.open(path, headers=proxied, auth=("prometheus", PASSWORD)).status in (200, 503)


def test_accepts_a_name_of_the_certificate_as_host(phone: Page) -> None:
    assert phone.open("/healthz", headers={"Host": "box.local"}).status == 200
    assert phone.open("/healthz", headers={"Host": "other.local"}).status == 403


def test_another_password_after_a_reload_ends_the_sessions(guarded: tuple[Daemon, Pair], phone: Page) -> None:
    daemon, _ = guarded
    phone.open("/").send("/login", password=PASSWORD)
    try:
        made = daemon.command("admin", "password", "--stdin", stdin="another one")
        assert "To use it now: sudo systemctl reload camiohookd" in made.stderr
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
