"""The status page in a real browser: live, on a phone and a desktop, with scripts."""

import http.server
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.config import admin_password
from camiohookd.web.page.drawing import hex_color
from tests.support import file_server
from tests.support.browser import Browser, Tab, browser
from tests.support.daemon_process import SAMPLES, Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60
PASSWORD = "correct horse"
ZONED = """\
[[rule]]
camera = "zoned"
[[rule.zone]]
name = "lower"
polygon = [[0.2, 0.5], [0.8, 0.5], [0.8, 1.0], [0.2, 1.0]]
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def camio(chromium: Browser) -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, camio: FakeCamioThread) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "camiohookd.toml").write_text(ZONED)
    with Daemon(folder, camio.origin) as daemon:
        send(daemon, camio, "first", "front", "chelsea.jpg")
        yield daemon


@pytest.fixture
def url(daemon: Daemon) -> str:
    return f"http://127.0.0.1:{daemon.admin_port}"


def send(daemon: Daemon, camio: FakeCamioThread, name: str, camera: str, picture: str) -> str:
    """Post an event with a sample photograph, wait for its labels, and return its id."""
    task_id = post_event(daemon, camio, name, camera=camera, pictures=[(SAMPLES / picture).read_bytes()])["id"]
    camio.wait_until(lambda deliveries: bool(deliveries.get(name)), PATIENCE)
    return str(task_id)


def labels(camio: FakeCamioThread, name: str) -> dict[str, list[list[float]]]:
    """Return the polygons that were sent for an event of one picture, by label."""
    [found] = json.loads(camio.deliveries[name][-1].body)["labels"].values()
    return {label: each["polygon"] for label, each in found.items()}


def shot(tab: Tab, selector: str) -> Image.Image:
    """Return what is drawn at `selector`."""
    return Image.open(io.BytesIO(tab.page.locator(selector).first.screenshot())).convert("RGB")


def near(pixel: object, color: str, tolerance: int = 60) -> bool:
    wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= tolerance for one, other in zip(pixel, wanted, strict=True))


def has_color(image: Image.Image, place: tuple[float, float], color: str, reach: int = 3) -> bool:
    """Return whether there is that color within `reach` pixels of a place, which is in fractions."""
    x, y = round(place[0] * (image.width - 1)), round(place[1] * (image.height - 1))
    around = [(x + dx, y + dy) for dx in range(-reach, reach + 1) for dy in range(-reach, reach + 1)]
    inside = [(a, b) for a, b in around if 0 <= a < image.width and 0 <= b < image.height]
    return any(near(image.getpixel(each), color) for each in inside)


def looks(long_run: bool) -> list[tuple[int, str]]:
    """Return the widths and color schemes to look at."""
    every = [(width, scheme) for width in (360, 1600) for scheme in ("light", "dark")]
    return every if long_run else [(360, "dark"), (1600, "light")]


def test_every_page_fits_a_phone_and_a_desktop_and_has_no_barrier(
    chromium: Browser, url: str, daemon: Daemon, long_run: bool
) -> None:
    paths = ["/", "/events", "/events/1", "/trends?span=hour", "/cameras", "/cameras/zones?camera=front", "/failed"]
    paths += ["/doctor", "/cameras/teach?camera=front"]
    for width, scheme in looks(long_run):
        with chromium.tab(url, width=width, scheme=scheme) as tab:
            for path in paths:
                tab.open(path).page.wait_for_load_state("load")
                if path.startswith("/trends"):
                    tab.page.wait_for_selector("#charts[data-drawn]")
                assert tab.too_wide() <= 0, f"{path} at {width} pixels"
                assert tab.barriers() == [], f"{path} at {width} pixels, {scheme}"
            tab.unclean()


def test_an_event_that_arrives_shows_up_in_pages_that_are_open(
    chromium: Browser, url: str, daemon: Daemon, camio: FakeCamioThread
) -> None:
    with chromium.tab(url) as now, chromium.tab(url) as events:
        now.open("/").page.wait_for_selector("#live.on")
        before = now.page.text_content('[data-text="camio.value"]')
        events.open("/events").page.wait_for_selector("#live.on")
        task_id = send(daemon, camio, "live", "<b>live</b>", "coffee.jpg")
        card = events.page.wait_for_selector(f"#event-{task_id}:has(.tag.ok)")
        assert "cup" in card.text_content() and "<b>live</b>" in card.text_content()
        assert events.page.locator("#events > :first-child").get_attribute("id") == f"event-{task_id}"
        events.page.wait_for_selector(f"#event-{task_id} img")
        now.until(f"document.querySelector('[data-text=\"camio.value\"]').textContent !== '{before}'")
        now.unclean()
        events.unclean()


def test_boxes_and_zones_are_drawn_where_they_belong(
    chromium: Browser, url: str, daemon: Daemon, camio: FakeCamioThread
) -> None:
    task_id = send(daemon, camio, "boxes", "zoned", "motorcycle_left.jpg")
    # Camio's y points up.
    corners = [(x, 1 - y) for x, y in labels(camio, "boxes")["motorcycle"]]
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    top, bottom = min(y for _, y in corners), max(y for _, y in corners)
    color = hex_color("motorcycle")
    with chromium.tab(url) as tab:
        tab.open("/events?camera=zoned").page.wait_for_selector(f"#event-{task_id} img")
        tab.until("document.querySelector('.shot img').naturalWidth > 0")
        image = shot(tab, f"#event-{task_id} .shot")
        middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
        for edge in ((left, middle_y), (right, middle_y), (middle_x, bottom), ((middle_x + right) / 2, top)):
            assert has_color(image, edge, color), edge
        for elsewhere in ((left - 0.04, middle_y), (right + 0.03, middle_y), (middle_x, bottom + 0.06)):
            assert not has_color(image, elsewhere, color), elsewhere
        for edge in ((0.5, 0.5), (0.2, 0.9), (0.8, 0.75)):
            assert has_color(image, edge, "#37e07c"), edge
        tab.unclean()


def test_the_zone_editors_rule_sends_what_its_preview_said(
    chromium: Browser, url: str, daemon: Daemon, camio: FakeCamioThread
) -> None:
    send(daemon, camio, "kitchen-1", "kitchen", "coffee.jpg")
    found = labels(camio, "kitchen-1")
    assert {"cup", "dining table"} <= found.keys()
    feet = {name: (sum(x for x, _ in each) / 4, 1 - min(y for _, y in each)) for name, each in found.items()}
    x, y = feet["cup"]
    around = [(x - 0.1, y - 0.1), (x + 0.1, y - 0.1), (x + 0.1, y + 0.08), (x - 0.1, y + 0.08)]
    with chromium.tab(url, width=360, height=740, has_touch=True) as tab:
        tab.open("/cameras/zones?camera=kitchen").page.wait_for_selector("#zone-editor[data-previewed]")
        canvas = tab.page.locator("#canvas")
        canvas.scroll_into_view_if_needed()
        place = canvas.bounding_box()
        for corner in around:
            tab.page.touchscreen.tap(place["x"] + corner[0] * place["width"], place["y"] + corner[1] * place["height"])
        before = tab.page.get_attribute("#zone-editor", "data-previewed")
        tab.page.click("#finish")
        tab.page.wait_for_selector(f'#zone-editor:not([data-previewed="{before}"])')
        objects = tab.page.locator("#objects li").all_text_contents()
        said = {re.sub(r" 0\.\d\d: .*", "", line) for line in objects if line.endswith(": sent")}
        assert said == {"cup"}, objects
        assert any("outside zone zone 1" in line for line in objects if line.startswith("dining table"))
        text = tab.page.input_value("#text")
        assert tab.too_wide() <= 0
        tab.unclean()
    daemon.command("rules", "add", "-", stdin=text)
    daemon.reload()
    send(daemon, camio, "kitchen-2", "kitchen", "coffee.jpg")
    assert labels(camio, "kitchen-2").keys() == said


def test_a_corner_can_be_dragged_with_the_mouse(chromium: Browser, url: str, daemon: Daemon) -> None:
    with chromium.tab(url) as tab:
        tab.open("/cameras/zones?camera=front").page.wait_for_selector("#zone-editor[data-previewed]")
        place = tab.page.locator("#canvas").bounding_box()

        def at(x: float, y: float) -> tuple[float, float]:
            return place["x"] + x * place["width"], place["y"] + y * place["height"]

        for corner in ((0.2, 0.2), (0.6, 0.2), (0.6, 0.6)):
            tab.page.mouse.click(*at(*corner))
        tab.page.mouse.click(*at(0.2, 0.2))  # the first one again finishes the zone
        assert tab.page.input_value("#corners-0") == "0.2 0.2; 0.6 0.2; 0.6 0.6"
        tab.page.mouse.move(*at(0.6, 0.6))
        tab.page.mouse.down()
        tab.page.mouse.move(*at(0.7, 0.9), steps=4)
        tab.page.mouse.up()
        tab.until("document.getElementById('text').value.includes('[0.7, 0.9]')")
        tab.page.fill("#corners-0", "0 0; 1 0; 1 1; 0 1")
        tab.page.keyboard.press("Tab")
        tab.until("document.getElementById('text').value.includes('[1.0, 1.0]')")
        tab.page.click("text=Delete zone 1")
        tab.until("!document.getElementById('text').value.includes('zone')")
        tab.unclean()


def test_the_charts_are_drawn_in_the_colors_of_the_scheme(chromium: Browser, url: str, daemon: Daemon) -> None:
    for scheme, letters in (("light", "#55616e"), ("dark", "#a0acb9")):
        with chromium.tab(url, scheme=scheme) as tab:
            tab.open("/trends?span=hour").page.wait_for_selector("#charts[data-drawn]")
            image = shot(tab, '[data-chart="events"] canvas')
            below = image.crop((0, round(image.height * 0.8), image.width, image.height))
            colors = [color for _, color in below.getcolors(1 << 20) or []]
            assert any(near(color, letters, 24) for color in colors), f"the axis in {scheme}"
            assert len(image.getcolors(1 << 20) or []) > 20
            tab.unclean()


def test_failed_events_are_tried_again_with_one_click(chromium: Browser, tmp_path: Path) -> None:
    with FakeCamioThread(lambda event, nth: ScriptedResponse(410)) as camio, Daemon(tmp_path, camio.origin) as daemon:
        send(daemon, camio, "refused", "front", "chelsea.jpg")
        daemon.wait_until(lambda: daemon.metric('tasks_failed_total{reason="refused"}') == 1)
        camio.answer_with(lambda event, nth: ScriptedResponse(200))
        with chromium.tab(f"http://127.0.0.1:{daemon.admin_port}", width=360) as tab:
            tab.open("/failed").page.click("text=Try it again")
            tab.page.wait_for_selector("text=1 event is tried again.")
            camio.wait_until(lambda found: found["refused"][-1].accepted, PATIENCE)
            assert tab.too_wide() <= 0
            assert tab.barriers() == []
            tab.unclean()


@contextmanager
def other_site(html: str) -> Iterator[int]:
    """Serve a page of another site; yield its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(html.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with file_server.running(Handler) as url:
        yield int(url.rpartition(":")[2])


def test_a_wrong_password_and_a_forged_form_are_refused(chromium: Browser, tmp_path: Path) -> None:
    admin_password.write(tmp_path / "admin-password", PASSWORD)
    with Daemon(tmp_path, "http://127.0.0.1:1") as daemon:
        url = f"http://127.0.0.1:{daemon.admin_port}"
        forged = f'<form method="post" action="{url}/test"><input name="token" value="x"><button>Win</button></form>'
        with chromium.tab(url, width=360, scheme="dark") as tab, other_site(forged) as port:
            tab.open("/failed")
            assert tab.barriers() == [] and tab.too_wide() <= 0
            tab.unclean()
            tab.page.fill("#password", "wrong")
            tab.page.click("text=Log in")
            tab.page.wait_for_selector("text=The password is wrong.")
            tab.page.fill("#password", PASSWORD)
            tab.page.click("text=Log in")
            tab.page.wait_for_selector("text=Failed events")
            assert tab.page.evaluate("document.cookie") == ""
            for site, refusal in (("127.0.0.1", "The form was refused"), ("localhost", "Log in first")):
                tab.page.goto(f"http://{site}:{port}/")
                tab.page.click("text=Win")
                tab.page.wait_for_selector(f"text={refusal}")
            assert daemon.metric("events_accepted_total") == 0
            tab.open("/failed").page.click("text=Log out")
            tab.page.wait_for_selector("#password")
