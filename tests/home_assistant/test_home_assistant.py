"""A daemon, a real MQTT broker and a real Home Assistant, which only ``--long`` installs: 0.6 GB.

What Home Assistant refuses of a description would be missing among its entities.
"""

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import ROOT
from tests.support.daemon_process import Daemon, post_event
from tests.support.environments import environment
from tests.support.mosquitto import Broker
from tests.support.threaded_simulator import FakeCamioThread

HERE = Path(__file__).parent
ENVIRONMENT = ROOT / ".build/home-assistant"
REQUIREMENTS = HERE / "requirements.txt"
OLDEST = (3, 13, 2)
"""The oldest Python that this Home Assistant takes: Debian 13 has a newer one."""

PATIENCE = 120.0
OFF_AFTER = 5

States = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def python(long_run: bool) -> Path:
    """Return the Python of Home Assistant's environment, which is made at its first use."""
    if not long_run:
        pytest.skip("NOT TESTED: Home Assistant itself, because it is installed in a long run (--long) only")
    return environment(ENVIRONMENT, REQUIREMENTS, _suitable_python, "Home Assistant itself")


def _suitable_python() -> str:
    """Return a Python 3.13 that Home Assistant takes; skip the tests if there is none."""
    found = shutil.which("python3.13")
    told = "there is none on the PATH"
    if found is not None:
        asked = subprocess.run(
            [found, "-c", "import sys; print(*sys.version_info[:3])"], capture_output=True, text=True, check=True
        )
        version = tuple(map(int, asked.stdout.split()))
        if version >= OLDEST:
            return found
        told = f"{found} is {'.'.join(map(str, version))}"
    wanted = ".".join(map(str, OLDEST))
    pytest.skip(f"NOT TESTED: Home Assistant itself, because it takes a Python 3.13 of {wanted} or newer; {told}")


class HomeAssistant:
    """A running Home Assistant; `log` is what it wrote."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def states(self) -> States:
        """Return all its states, by entity."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, self.log
        states: States = json.loads(answer)
        return states

    def wait_for(self, condition: Callable[[States], bool]) -> States:
        """Return the states as soon as `condition` holds for them."""
        ends = time.monotonic() + PATIENCE
        while not condition(states := self.states()):
            assert time.monotonic() < ends, f"{json.dumps(states, indent=1)}\n{self.log}"
            time.sleep(0.1)
        return states


@contextmanager
def home_assistant(python: Path, folder: Path, port: int) -> Iterator[HomeAssistant]:
    """Run Home Assistant with the broker at `port`."""
    settings, log = folder / "home-assistant", folder / "home-assistant.log"
    settings.mkdir()
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [python, HERE / "states.py", settings, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield HomeAssistant(process, log)
        finally:
            process.kill()


def state(states: States, entity: str) -> str | None:
    """Return the state of an entity, None if there is none."""
    return states[entity]["state"] if entity in states else None


def test_home_assistant_shows_the_box_its_cameras_and_their_events(python: Path, tmp_path: Path) -> None:
    settings = {"PICTURES": "true", "OFF_AFTER": f"{OFF_AFTER}s", "HOST": "127.0.0.1"}
    environ = {f"CAMIOHOOKD_MQTT_{name}": value for name, value in settings.items()}
    with FakeCamioThread() as camio, Broker(tmp_path) as broker:
        environ["CAMIOHOOKD_MQTT_PORT"] = str(broker.port)
        with (
            Daemon(tmp_path, camio.origin, environ) as daemon,
            home_assistant(python, tmp_path, broker.port) as owner,
        ):
            box = owner.wait_for(lambda states: any(each["attributes"].get("verdict") for each in states.values()))
            (problem,) = (each for name, each in box.items() if name.endswith("_problem"))
            assert (problem["state"], problem["attributes"]["verdict"]) == ("off", "works")
            post_event(daemon, camio, "first", camera="Front door")  # describes the camera
            owner.wait_for(lambda states: state(states, "binary_sensor.front_door_person") == "off")
            post_event(daemon, camio, "second", camera="Front door")
            owner.wait_for(lambda states: state(states, "binary_sensor.front_door_animal") == "on")
            picture = "image.front_door_last_picture"
            seen = owner.wait_for(lambda states: state(states, picture) not in (None, "unknown"))
            assert state(seen, "sensor.front_door_events") == "2"
            assert (state(seen, "sensor.front_door_last_labels") or "").startswith("cat 0.")
            assert datetime.fromisoformat(state(seen, "sensor.front_door_last_event") or "").tzinfo is not None
            assert state(seen, "binary_sensor.front_door_person") == "off"
            event = seen["event.front_door_event"]["attributes"]
            assert (event["event_type"], event["camera"], event["task"]) == ("labelled", "Front door", "2")
            owner.wait_for(lambda states: state(states, "binary_sensor.front_door_animal") == "off")
            daemon.kill()
            gone = owner.wait_for(lambda states: state(states, "sensor.front_door_events") == "unavailable")
            ours = [each["state"] for name, each in gone.items() if "front_door" in name or "camiohookd" in name]
            assert len(ours) == 12
            assert set(ours) == {"unavailable"}
            assert "components.mqtt" not in owner.log, owner.log
