"""The Containerfile: its steps are run in a root folder of Debian, and the daemon runs there as its image would.

There is no container engine here: FROM is the minimal Debian of the other tests, which has the package's dependencies.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.appliance import roots
from tests.appliance.conftest import own_architecture
from tests.appliance.debs import Deb
from tests.appliance.machine import wait_until
from tests.appliance.workshop import APART, INTO
from tests.support.checkout import ROOT
from tests.support.daemon_process import KEY, event_body, free_port
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 120.0
RELEASE = "trixie"
EXAMPLE = ROOT / "fleet/kubernetes.yaml"


@dataclass(frozen=True)
class Step:
    word: str
    text: str


def steps() -> list[Step]:
    """Return the instructions of the Containerfile."""
    lines = [line for line in (ROOT / "fleet/Containerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(" ", 1)) for line in joined.splitlines() if line]


@dataclass(frozen=True)
class Image:
    """The root folder, and what the last instructions say about running it."""

    root: Path
    environ: dict[str, str]
    user: str
    command: list[str]
    had_key: bool

    def inside(self, *command: str, **environ: str) -> list[str]:
        """Return the command line that runs `command` in a process namespace of the image, as its user."""
        user, group = self.user.split(":")
        as_user = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"]
        given = [f"{name}={value}" for name, value in ({"PATH": "/usr/bin:/bin"} | self.environ | environ).items()]
        return [*_entered(self.root), *as_user, "env", "--ignore-environment", *given, *command]


def _entered(root: Path) -> list[str]:
    return [*APART, "bash", "-euc", INTO, "bash", str(root)]


def kubernetes_settings() -> str:
    """Return the settings in the example for Kubernetes."""
    [settings] = re.findall(r"^  camiohookd.toml: \|\n((?:    .*\n|\n)+)", EXAMPLE.read_text(), re.MULTILINE)
    return textwrap.dedent(settings)


def liveness_command(admin: int) -> list[str]:
    """Return the command by which Kubernetes asks whether a replica hangs, with the port `admin` of this test."""
    stateful_set = next(each for each in EXAMPLE.read_text().split("\n---\n") if "kind: StatefulSet" in each)
    [container] = msgspec.yaml.decode(stateful_set)["spec"]["template"]["spec"]["containers"]
    return [part.replace(":8001/", f":{admin}/") for part in container["livenessProbe"]["exec"]["command"]]


@pytest.fixture(scope="module")
def image(_can_boot: None, deb: Deb, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    environ: dict[str, str] = {}
    user = ""
    command: list[str] = []
    with roots.layer(RELEASE, own_architecture(), tmp_path_factory.mktemp("image") / "layer") as root:
        for step in steps():
            match step.word:
                case "FROM":
                    assert RELEASE in step.text
                case "COPY":
                    _, target = step.text.split()
                    shutil.copy(deb.path, f"{root}{target}")
                case "RUN":
                    entered = _entered(root)
                    done = subprocess.run(
                        [*entered, "sh", "-c", step.text], capture_output=True, text=True, check=False, timeout=600
                    )
                    assert done.returncode == 0, f"{step.text}: {done.stdout}{done.stderr}"
                case "ENV":
                    environ |= dict(pair.split("=", 1) for pair in shlex.split(step.text))
                case "USER":
                    user = step.text
                case "ENTRYPOINT" | "CMD":
                    command += json.loads(step.text)
                case _:
                    assert step.word in {"VOLUME", "EXPOSE"}, f"this test does not know the instruction {step}"
        had_key = (root / "etc/camiohookd/api-keys").exists()
        # What Kubernetes mounts over the package's settings.
        shutil.rmtree(root / "etc/camiohookd")
        (root / "etc/camiohookd").mkdir()
        (root / "etc/camiohookd/camiohookd.toml").write_text(kubernetes_settings())
        yield Image(root, environ, user, command, had_key)


@contextmanager
def running(
    image: Image, port: int, admin: int, camio: FakeCamioThread, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    settings = {
        "CAMIOHOOKD_HOOK_API_KEY": KEY,
        "CAMIOHOOKD_HOOK_LISTEN": f"127.0.0.1:{port}",
        "CAMIOHOOKD_ADMIN_LISTEN": f"127.0.0.1:{admin}",
        "CAMIOHOOKD_CALLBACK_ALLOW_HOSTS": json.dumps([camio.origin]),
    }
    with log.open("ab") as output:
        process = subprocess.Popen(image.inside(*image.command, **settings), stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_the_image_holds_no_key_and_no_package_file(image: Image) -> None:
    assert not image.had_key
    assert not list((image.root / "tmp").iterdir())
    assert image.user.split(":")[0] != "0"


def test_the_daemon_labels_and_is_drained_as_the_images_user(image: Image, tmp_path: Path) -> None:
    log = tmp_path / "log"
    port, admin = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/tasks/{KEY}"
    with FakeCamioThread() as camio, running(image, port, admin, camio, log) as process:
        wait_until(lambda: '"event": "ready"' in log.read_text() or process.poll() is not None, log.read_text, PATIENCE)
        assert process.poll() is None, log.read_text()
        assert camio.post(url, event_body(camio.callback_url("one"))).status == 200
        camio.wait_until(lambda arrived: bool(arrived["one"]), PATIENCE)
        subprocess.run(image.inside(*liveness_command(admin)), check=True, timeout=PATIENCE)
        stop = image.inside("/usr/bin/camiohookd", "drain", "--wait", "--timeout", "60")
        drained = subprocess.run(stop, capture_output=True, text=True, check=False, timeout=PATIENCE)
        assert "Drained: no event waits" in drained.stdout, drained.stdout + drained.stderr
        assert camio.post(url, event_body(camio.callback_url("two"))).status == 503
        daemon = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()  # the first process inside
        os.kill(int(daemon), signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    assert '"event": "stopped"' in log.read_text()
