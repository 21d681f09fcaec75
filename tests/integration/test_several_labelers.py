"""The daemon with several labelers, one of which is killed while it runs."""

import json
import os
import signal
from pathlib import Path

from tests.support.checkout import ROOT
from tests.support.daemon_process import Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

CAT = (ROOT / "camiohookd/samples/chelsea.jpg").read_bytes()
PATIENCE = 30.0
SCRIPT = """
import os
def compute_labels(images):
    with open({pid!r}, "w") as file:
        file.write(str(os.getpid()))
    return {{image["timestamp"]: {{"tabby": {{"probability": 0.75}}}} for image in images}}
"""
SETTINGS = """
[[labeler]]
device = "cpu"
threads = 2

[[labeler]]
kind = "python"
name = "fur"
script = "{script}"
interpreter = "{interpreter}"
on = ["cat"]
"""


def test_only_the_labels_of_a_killed_labeler_are_missing_and_the_status_says_so(tmp_path: Path) -> None:
    script, pid, interpreter = tmp_path / "fur.py", tmp_path / "pid", tmp_path / "python"
    script.write_text(SCRIPT.format(pid=str(pid)))
    (tmp_path / "camiohookd.toml").write_text(SETTINGS.format(script=script, interpreter=interpreter))
    with FakeCamioThread() as camio:
        daemon = Daemon(tmp_path, camio.origin)
        interpreter.symlink_to(daemon.python)
        del daemon.environ["CAMIOHOOKD_LABELER_THREADS"]

        def labels_of(name: str) -> list[str]:
            post_event(daemon, camio, name, pictures=[CAT])
            camio.wait_until(lambda arrived: any(each.accepted for each in arrived[name]), PATIENCE)
            (labels,) = json.loads(camio.deliveries[name][-1].body)["labels"].values()
            return sorted(labels)

        with daemon:
            assert labels_of("one") == ["cat", "tabby"]
            assert "tabby 0.75 (fur)" in daemon.log
            daemon.wait_until(lambda: "by fur</span>" in daemon.admin("/events/1")[1], PATIENCE)
            interpreter.unlink()
            os.kill(int(pid.read_text()), signal.SIGKILL)
            assert labels_of("two") == ["cat"]
            status = json.loads(daemon.command("status", "--json").stdout)
            assert (status["verdict"], status["model"]) == ("degraded", "ssdlite-mobilenet-v2-coco, own code (python)")
            assert 'labeler "fur" does not work, so events are labeled without its labels' in status["reasons"][0]
            assert 'camiohookd_labeler_up{labeler="fur"} 0.0' in daemon.admin("/metrics")[1]
            assert daemon.admin("/readyz")[0] == 200
            interpreter.symlink_to(daemon.python)
            daemon.wait_until(lambda: "labeler fur works again" in daemon.log, PATIENCE)
            assert labels_of("three") == ["cat", "tabby"]
            assert json.loads(daemon.command("status", "--json").stdout)["verdict"] == "works"
            before = (tmp_path / "camiohookd.toml").read_text()
            (tmp_path / "camiohookd.toml").write_text(before.replace('on = ["cat"]', ""))
            assert "[[labeler]] (the second or a later one) changed; to apply: systemctl restart" in daemon.reload()
