"""A booted machine with the package installed, used as its owner and Camio use it.

.deb ─▶ `install` (apt) ─▶ the service ─▶ systemd's properties, the journal, answers on the port
"""

import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.appliance.machine import Machine, MachineError, wait_until
from tests.support.daemon_process import event_body
from tests.support.threaded_simulator import FakeCamioThread

UNIT = "camiohookd.service"
HOOK, ADMIN = "http://127.0.0.1:8000", "http://127.0.0.1:8001"
CAMIO_PORT = 9000
SETTINGS = "/etc/camiohookd/camiohookd.toml"
KEYS = "/etc/camiohookd/api-keys"
STATE = "/var/lib/camiohookd"
PYTHON = "/usr/lib/camiohookd/bin/python3.11"
FOR_TESTS = f"""
[callback]
allow_hosts = ["http://127.0.0.1:{CAMIO_PORT}"]
retry_min = "0.2s"
retry_max = "1s"
"""
"""Settings that allow callbacks to a fake Camio in the machine's network."""


@dataclass(frozen=True)
class AtInstall:
    """What a test observes right after apt."""

    enabled: str
    service: dict[str, str]
    settings: str
    answered: int
    log: list[str]

    @property
    def start_seconds(self) -> float:
        """Return the seconds from start to READY as systemd measured them."""
        began, ready = (int(self.service[f"{name}TimestampMonotonic"]) for name in ("InactiveExit", "ActiveEnter"))
        return (ready - began) / 1e6


@dataclass
class Appliance:
    machine: Machine
    apt_output: str = ""
    install_seconds: float = 0.0
    at_install: AtInstall = field(init=False)

    def install(self, deb: Path, *options: str) -> str:
        """Run ``apt install`` on the file in its folder; return apt's output."""
        target = self.machine.path(f"/root/{deb.name}")
        if not target.exists():
            shutil.copy(deb, target)
        began = time.monotonic()
        done = self.machine.run("sh", "-c", f"cd /root && apt install --yes {' '.join(options)} ./{deb.name} 2>&1")
        self.install_seconds = time.monotonic() - began
        self.apt_output = done.stdout
        target.unlink()
        self.at_install = self._look()
        return done.stdout

    def set_up(self, deb: Path, more: str = "") -> None:
        """Install the package, and start the service with the settings that all tests need, and `more`."""
        self.install(deb)
        self.configure(more)
        self.restart()

    def _look(self) -> AtInstall:
        with self.machine.network():
            answered = self.status(f"{HOOK}/tasks/")
        enabled = self.machine.run("systemctl", "is-enabled", UNIT, check=False).stdout.strip()
        settings = self.machine.path(SETTINGS).read_text()
        return AtInstall(enabled, self.service, settings, answered, self.log().splitlines())

    # --- settings -------------------------------------------------------------------------------------------------

    def configure(self, more: str = "") -> None:
        """Write the settings that all tests need, and `more`; some take effect only after a restart."""
        self.machine.path(SETTINGS).write_text(FOR_TESTS + more)

    def drop_in(self, name: str, text: str | None) -> None:
        """Write a drop-in for the service's unit; None removes it."""
        path = f"/etc/systemd/system/{UNIT}.d/{name}.conf"
        if text is None:
            self.machine.path(path).unlink()
        else:
            self.machine.write(path, text)
        self.machine.run("systemctl", "daemon-reload")

    @property
    def key(self) -> str:
        """Return the key that the installation made."""
        (line,) = self.machine.path(KEYS).read_text().splitlines()
        return line.split()[1]

    # --- the service ----------------------------------------------------------------------------------------------

    def restart(self) -> None:
        if self.machine.run("systemctl", "restart", UNIT, check=False).returncode != 0:
            raise MachineError(f"the service does not start again; the journal:\n{self.log()}")

    @property
    def service(self) -> dict[str, str]:
        return self.machine.properties(UNIT)

    @property
    def pid(self) -> int:
        return int(self.service["MainPID"])

    def signal(self, name: str) -> None:
        """Send the daemon's main process a signal."""
        self.machine.run("systemctl", "kill", "--kill-whom=main", f"--signal={name}", UNIT)

    def wait_until_started_again(self, before: int) -> None:
        """Wait until the service is ready with a process ID other than `before`."""

        def up_again() -> bool:
            service = self.service
            return service["ActiveState"] == "active" and int(service["MainPID"]) not in (0, before)

        wait_until(up_again, lambda: f"a daemon other than {before} is up; the journal:\n{self.log()}")

    def log(self) -> str:
        """Return the service's journal as journalctl prints it."""
        return self.machine.output("journalctl", "--unit", UNIT, "--no-pager", "--boot")

    def entries(self, *options: str) -> list[dict[str, Any]]:
        lines = self.machine.output("journalctl", "--output=json", "--no-pager", *options).splitlines()
        return [json.loads(line) for line in lines]

    # --- through the port; call these within `machine.network()` ------------------------------------------------------

    @property
    def url(self) -> str:
        return f"{HOOK}/tasks/{self.key}"

    def status(self, url: str) -> int:
        """Return the HTTP status of a GET, or 0 while nothing listens."""
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def pending(self) -> int:
        with urllib.request.urlopen(self.url, timeout=30) as answer:
            return int(json.load(answer)["pending"])

    def post(self, camio: FakeCamioThread, name: str) -> None:
        answer = camio.post(self.url, event_body(camio.callback_url(name)), timeout=90)
        assert answer.status == 200, answer

    def labels(self, camio: FakeCamioThread, name: str) -> set[str]:
        """Return the labels of the last delivery of an event with one picture."""
        (found,) = json.loads(camio.deliveries[name][-1].body)["labels"].values()
        return set(found)


def files_of(root: Path) -> dict[str, str]:
    """Return kind and permissions of each file under `root` by path, without those that every boot or apt changes."""
    passing = re.compile(r"/(proc|sys|run|tmp|dev|root|var/(log|cache|tmp)|var/lib/(dpkg|apt|systemd))(/|$)")
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not passing.match("/" + os.path.relpath(f"{folder}/{each}", root))]
        for each in files + folders:
            file = Path(folder, each)
            found["/" + str(file.relative_to(root))] = oct(file.lstat().st_mode)
    return found


def documented_command(drop_in: Path) -> str:
    """Return the command in a drop-in's first lines that installs it."""
    lines = re.findall(r"^#   (.*)$", drop_in.read_text(), re.MULTILINE)
    assert lines[0].startswith("sudo install")
    return "\n".join(lines)
