"""A daemon tells its owner of deliveries that are refused, by a command and a webhook, without its key."""

import json
from contextlib import closing
from pathlib import Path

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.support.daemon_process import KEY, Daemon, post_event
from tests.support.scripted_server import Peer, answering
from tests.support.threaded_simulator import FakeCamioThread


def test_notifies_of_a_refused_delivery_by_a_command_and_a_webhook(tmp_path: Path) -> None:
    told = tmp_path / "told"
    command = ["/bin/sh", "-c", 'printenv >"$0.environ" && cat >"$0.new" && mv "$0.new" "$0"', str(told)]
    with closing(Peer(answering(200))) as peer, FakeCamioThread(lambda _name, _nth: ScriptedResponse(410)) as camio:
        settings = {"CAMIOHOOKD_NOTIFY_COMMAND": json.dumps(command), "CAMIOHOOKD_NOTIFY_WEBHOOK": peer.url}
        with Daemon(tmp_path, camio.origin, settings) as daemon:
            post_event(daemon, camio, "gone")
            daemon.wait_until(lambda: told.exists() and bool(peer.requests))
            notice = json.loads(told.read_text())
            assert (notice["alert"], notice["state"], notice["subject"]) == ("deliveries_refused", "begins", "")
            assert "410" in notice["text"]
            assert json.loads(peer.requests[0].partition(b"\r\n\r\n")[2]) == notice
            environ = Path(f"{told}.environ").read_text()
            assert f"ALERT_TEXT={notice['text']}" in environ
            assert KEY not in environ
            assert "event=alert_begins" in daemon.log
            assert daemon.stop() == 0
