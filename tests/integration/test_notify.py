"""A daemon tells its owner of troubles, each once, by a command and a webhook, without its key."""

import json
import time
from contextlib import closing
from pathlib import Path

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from camiohookd.monitoring.history.cameras import CameraBook
from camiohookd.system.disk import Disk
from tests.support.certificates import make_certificate
from tests.support.daemon_process import KEY, Daemon, post_event
from tests.support.scripted_server import Peer, answering
from tests.support.threaded_simulator import FakeCamioThread

DAY = 86400.0


def camera_that_stopped(state: Path, name: str) -> None:
    """Write the statistics of a camera that sent every six hours for five days, and then nothing for ten days."""
    (state / "history").mkdir(mode=0o700, parents=True)
    state.chmod(0o700)
    book = CameraBook(state / "history/cameras.json", Disk())
    for number in range(20):
        book.seen(name, time.time() - 15 * DAY + number * DAY / 4)
    book.save()


def test_notifies_of_each_trouble_once_by_a_command_and_a_webhook(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = ["/bin/sh", "-c", 'printenv >"$0.environ" && cat >"$0.new" && mv "$0.new" "$0.$ALERT"', str(told)]
    pair = make_certificate(tmp_path, days=10)
    answers = {"gone": ScriptedResponse(410), "later": ScriptedResponse(503)}
    with closing(Peer(answering(200))) as peer, FakeCamioThread(lambda name, _nth: answers[name]) as camio:
        settings = {
            "CAMIOHOOKD_ADMIN_TLS_CERT": str(pair.cert),
            "CAMIOHOOKD_ADMIN_TLS_KEY": str(pair.key),
            "CAMIOHOOKD_NOTIFY_COMMAND": json.dumps(command),
            "CAMIOHOOKD_NOTIFY_DISK_FREE": "1000000 GB",
            "CAMIOHOOKD_NOTIFY_QUEUE_AGE": "0.01s",
            "CAMIOHOOKD_NOTIFY_WEBHOOK": peer.url,
        }
        daemon = Daemon(tmp_path, camio.origin, settings)
        camera_that_stopped(daemon.state, "yard")
        daemon.start(wait=False)
        try:
            daemon.wait_until(lambda: "ready: events on" in daemon.log)
            post_event(daemon, camio, "later")
            daemon.wait_until(lambda: bool(camio.deliveries.get("later")))
            post_event(daemon, camio, "gone")  # which makes it look again at once
            daemon.wait_until(lambda: len(peer.requests) == 5)
            notices = {
                each["alert"]: each for each in (json.loads(each.partition(b"\r\n\r\n")[2]) for each in peer.requests)
            }
            assert {alert: (each["state"], each["subject"]) for alert, each in notices.items()} == {
                "camera_silent": ("begins", "yard"),
                "certificate": ("begins", "admin"),
                "deliveries_refused": ("begins", ""),
                "disk_short": ("begins", ""),
                "queue_old": ("begins", ""),
            }
            assert "410" in notices["deliveries_refused"]["text"]
            for alert, notice in notices.items():
                path = Path(f"{told}.{alert}")
                daemon.wait_until(path.exists)
                assert json.loads(path.read_text()) == notice
            environ = Path(f"{told}.environ").read_text()
            assert "ALERT_TEXT=" in environ
            assert KEY not in environ
            assert daemon.log.count("event=alert_begins") == 5
            assert daemon.stop() == 0
        finally:
            daemon.kill()
