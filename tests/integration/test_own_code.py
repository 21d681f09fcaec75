"""The daemon with the owner's labeling code: faults of that code lose no event and mislabel none."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from tests.support.daemon_process import KEY, Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

EXAMPLES = Path(__file__).parents[2] / "camiohookd/examples"
PATIENCE = 30.0


def own(folder: Path, text: str, **more: str) -> dict[str, str]:
    """Return the settings for a script with that text."""
    script = folder / "labeler.py"
    script.write_text(dedent(text))
    return {"CAMIOHOOKD_LABELER_KIND": "python", "CAMIOHOOKD_LABELER_SCRIPT": str(script), **more}


def labels_of(camio: FakeCamioThread, event: str) -> Any:
    camio.wait_until(lambda arrived: any(each.accepted for each in arrived[event]), PATIENCE)
    return json.loads(camio.deliveries[event][-1].body)["labels"]


def test_the_bundled_script_labels_events(tmp_path: Path) -> None:
    settings = {"CAMIOHOOKD_LABELER_KIND": "python", "CAMIOHOOKD_LABELER_SCRIPT": str(EXAMPLES / "labeler.py")}
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        (labels,) = labels_of(camio, "one").values()
        assert labels == {"day": {"probability": 1.0, "polygon": []}}
        assert f"own code ({EXAMPLES / 'labeler.py'}), 1 thread" in daemon.log


def test_the_bundled_program_labels_events(tmp_path: Path) -> None:
    command = json.dumps(["perl", str(EXAMPLES / "labeler.pl")])
    settings = {"CAMIOHOOKD_LABELER_KIND": "command", "CAMIOHOOKD_LABELER_COMMAND": command}
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        (labels,) = labels_of(camio, "one").values()
        assert list(labels) == ["landscape"]


def test_killing_the_helper_during_an_event_causes_only_a_retry(tmp_path: Path) -> None:
    settings = own(
        tmp_path,
        f"""
        import os, time
        def compute_labels(images):
            marker = {str(tmp_path / "pid")!r}
            if not os.path.exists(marker):
                with open(marker + ".new", "w") as file:
                    file.write(str(os.getpid()))
                os.rename(marker + ".new", marker)
                time.sleep(600)
            return ["seen"]
        """,
    )
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        for name in ("one", "two", "three"):
            post_event(daemon, camio, name)
        _wait_for((tmp_path / "pid").exists)
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
        for name in ("one", "two", "three"):
            assert labels_of(camio, name) == ["seen"]
            assert len(camio.deliveries[name]) == 1
        assert daemon.log.count("could not be labeled, next try") == 1
        assert "labeler.py was killed before it answered" in daemon.log
        assert daemon.pending()["pending"] == 0


def test_wrong_labels_fail_the_event_after_retries_with_file_and_line(tmp_path: Path) -> None:
    settings = own(
        tmp_path,
        """
        def compute_labels(images):
            return {image["timestamp"]: {"cat": {"probability": 2.0}} for image in images}
        """,
    )
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        _wait_for(lambda: "failed task=1" in daemon.log)
        failed = json.loads(daemon.command("queue", "list", "--state", "failed", "--json").stdout)
        assert re.search(
            r"labeling failed 3 times: .*labeler.py, line 2: labels\[.*\].probability: .*<= 1.0", json.dumps(failed)
        )
        assert camio.deliveries["one"] == []
        (tmp_path / "labeler.py").write_text("def compute_labels(images): return ['mended']")
        daemon.stop()
        daemon.start()
        daemon.command("queue", "retry", "--failed")
        assert labels_of(camio, "one") == ["mended"]


def test_events_wait_while_the_labeler_cannot_start_and_the_status_says_why(tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.symlink_to(sys.executable)
    settings = own(tmp_path, "import os\ndef compute_labels(images): return [str(os.getpid())]")
    settings["CAMIOHOOKD_LABELER_INTERPRETER"] = str(interpreter)
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        (pid,) = labels_of(camio, "one")
        interpreter.unlink()
        os.kill(int(pid), signal.SIGKILL)
        post_event(daemon, camio, "two")
        _wait_for(lambda: daemon.admin("/readyz")[0] == 503)
        assert f"cannot be started: {interpreter}" in daemon.admin("/readyz")[1]
        assert daemon.pending()["pending"] == 1
        interpreter.symlink_to(sys.executable)
        assert len(labels_of(camio, "two")) == 1
        assert daemon.admin("/readyz")[0] == 200
        assert "the queue waits: " in daemon.log


def test_a_stop_during_an_event_keeps_it_and_leaves_no_process(tmp_path: Path) -> None:
    settings = own(
        tmp_path,
        f"""
        import os, time
        def compute_labels(images):
            with open({str(tmp_path / "pid")!r}, "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
        """,
        CAMIOHOOKD_LABELER_DEADLINE="10min",
    )
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        for _ in range(4):  # more often than the poison limit allows
            post_event(daemon, camio, "one")
            _wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text() != "")
            helper = int((tmp_path / "pid").read_text())
            assert daemon.stop() == 0
            _wait_for(lambda helper=helper: not Path(f"/proc/{helper}").exists())  # type: ignore[misc]  # mypy sees no default
            (tmp_path / "pid").unlink()
            daemon.start()
        daemon.stop()
        (tmp_path / "labeler.py").write_text("def compute_labels(images): return ['late']")
        daemon.start()
        assert labels_of(camio, "one") == ["late"]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"CAMIOHOOKD_LABELER_SCRIPT": "/nowhere.py"},
            "labeler.script: /nowhere.py: cannot be read: No such file",
        ),
        ({"CAMIOHOOKD_LABELER_INTERPRETER": "/nowhere"}, "cannot be started: /nowhere: No such file or directory"),
    ],
)
def test_owner_code_that_cannot_start_exits_with_78_and_one_line(
    tmp_path: Path, settings: dict[str, str], complaint: str
) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:9", own(tmp_path, "compute_labels = print") | settings)
    done = subprocess.run(
        [sys.executable, "-m", "camiohookd", "serve"], env=daemon.environ, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 78
    *_, last = done.stderr.splitlines()
    assert complaint in last
    assert "Traceback" not in done.stderr


def test_owner_code_sees_no_key_in_environment_arguments_or_open_files(tmp_path: Path) -> None:
    settings = own(
        tmp_path,
        """
        import os
        def compute_labels(images):
            files = {os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in os.listdir("/proc/self/fd")
                     if os.path.lexists(f"/proc/self/fd/{fd}")}
            seen = [open("/proc/self/environ").read(), open("/proc/self/cmdline").read(), *files]
            return [text[i:i + 200] for text in seen for i in range(0, len(text), 200)]
        """,
    )
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        seen = "".join(labels_of(camio, "one"))
        assert KEY not in seen
        assert "CAMIO_" not in seen
        assert "CAMIOHOOKD_" not in seen
        assert "socket" not in seen
        assert str(daemon.state) not in seen


def _wait_for(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.05)


def test_logs_one_traceback_per_event_for_an_exception_in_owner_code(tmp_path: Path) -> None:
    settings = own(
        tmp_path,
        """
        def compute_labels(images):
            return 1 / 0
        """,
    )
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        samples = EXAMPLES.parent / "samples"
        for name in ("chelsea", "coffee"):
            post_event(daemon, camio, name, pictures=[(samples / f"{name}.jpg").read_bytes()])
        _wait_for(lambda: daemon.log.count("labeling failed 3 times") >= 2)
        assert daemon.log.count("Traceback (most recent call last)") == 2


def test_the_daemon_loads_onnx_runtime_only_with_a_model() -> None:
    """It takes 20 MB, on a box whose owner may have chosen own code for want of memory."""
    program = "import sys; from camiohookd.daemon import lifecycle; assert 'onnxruntime' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
