"""Teach on the status page of a real daemon, and see the label in the next event."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.support import gates
from tests.support.daemon_process import Daemon, post_event
from tests.support.page import PATIENCE, Page
from tests.support.threaded_simulator import FakeCamioThread

SETTINGS = """
[[rule]]
camera = "yard"
min_probability = 0.5

[[rule.zone]]
name = "gate"
kind = "state"
polygon = [[0.64, 0.54], [0.85, 0.54], [0.85, 0.78], [0.64, 0.78]]
"""
SHOWN = 6


@pytest.fixture
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as running:
        yield running


def jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def test_a_label_taught_on_the_page_is_sent_from_the_next_event_on(tmp_path: Path, camio: FakeCamioThread) -> None:
    frames = gates.made_frames(10, 1)
    (tmp_path / "camiohookd.toml").write_text(SETTINGS)
    with Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_LABELER_DETAIL": "whole"}) as daemon:
        page = Page(f"http://127.0.0.1:{daemon.admin_port}")
        chosen: dict[str, str] = {}
        for nth, state in enumerate(("open", "closed"), start=1):
            pictures = gates.pictures(frames, SHOWN, nth, closed=state == "closed")
            for picture in pictures:
                name = f"{state}-{len(chosen)}"
                accepted = post_event(daemon, camio, name, camera="yard", pictures=[jpeg(picture)])
                chosen[f"event-{accepted['id']}"] = str(nth)
        path = "/cameras/teach?camera=yard"
        daemon.wait_until(lambda: page.open("/cameras").status == 200 and ">yard" in page.text)
        daemon.wait_until(lambda: all(f'name="{field}"' in page.open(path).text for field in chosen))
        words = {"name": "gate", "subject": "zone:gate", "label-1": "gate open", "label-2": "gate closed"}
        assert page.send("/cameras/teach", 0, None, **(words | {"name": "../gate"})).status == 400
        assert "cannot be a name" in page.text
        assert page.open("/cameras/teach?camera=none").status == 404
        page.open(path).send("/cameras/teach", 0, None, **words, **chosen)
        assert page.path == path
        daemon.wait_until(lambda: "is being taught" not in page.open(path).text)
        assert "“gate” is taught and in use" in page.text
        assert f"gate open: {SHOWN} pictures of {SHOWN} events" in page.text
        unseen = gates.pictures(frames, 1, 9, closed=True)
        names = iter(range(40))

        def label_of_next() -> bool:
            name = f"next-{next(names)}"
            post_event(daemon, camio, name, camera="yard", pictures=[jpeg(unseen[0])])
            camio.wait_until(lambda deliveries: bool(deliveries.get(name)), PATIENCE)
            return b'"gate closed"' in camio.deliveries[name][0].body

        daemon.wait_until(label_of_next)  # the folder is looked at every two seconds
        assert "taught labels in use: gate" in daemon.log
