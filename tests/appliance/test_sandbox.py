"""Probe the unit's sandbox with an owner's labeler: its labels name the actions that succeeded."""

from pathlib import Path

import pytest

from tests.appliance.appliance import Appliance
from tests.appliance.machine import PATIENCE
from tests.support.threaded_simulator import FakeCamioThread

PROBE = Path(__file__).with_name("probe.py")
ITS_OWN = ("/tmp", "/var/tmp", "/dev/shm")
MAY = {
    "write the state folder",
    "write the runtime folder",
    "open a stream",
    "read the settings",
    *(f"write its own {folder}" for folder in ITS_OWN),
}
"""Labels of actions that the service needs. They show that the probe can succeed."""


def test_code_in_the_service_has_only_the_rights_it_needs(installed: Appliance, camio: FakeCamioThread) -> None:
    machine = installed.machine
    machine.write("/etc/camiohookd/labeler.py", PROBE.read_text())
    machine.write("/home/owner/public", "readable to everyone")
    machine.write("/root/public", "readable to everyone")
    machine.path("/root").chmod(0o755)
    installed.configure('[labeler]\nkind = "python"\nscript = "/etc/camiohookd/labeler.py"\n')
    installed.restart()
    installed.post(camio, "probe")
    camio.wait_until(lambda arrived: arrived["probe"] != [], PATIENCE)
    could = installed.labels(camio, "probe")
    installed.configure()
    installed.restart()
    assert could == MAY
    for folder in ITS_OWN:
        assert machine.run("test", "-e", f"{folder}/probe", check=False).returncode == 1, folder


@pytest.mark.parametrize("what", ["NoNewPrivs", "Seccomp", "CapBnd"])
def test_the_daemon_itself_has_no_privileges(installed: Appliance, what: str) -> None:
    status = installed.machine.path(f"/proc/{installed.pid}/status")
    text = installed.machine.output("cat", f"/proc/{installed.pid}/status")
    assert not status.exists(), "read inside the machine, not through its root folder"
    found = dict(line.split(":", 1) for line in text.splitlines())
    assert int(found[what], 16) == {"NoNewPrivs": 1, "Seccomp": 2, "CapBnd": 0}[what]
