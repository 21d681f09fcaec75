"""Remove the package: the owner's files stay. Purge it: nothing stays."""

import re
from collections.abc import Iterator

import pytest

from tests.appliance.appliance import KEYS, SETTINGS, STATE, UNIT, Appliance, documented_command, files_of
from tests.appliance.conftest import Boot
from tests.appliance.debs import Deb
from tests.appliance.machine import Machine, wait_until
from tests.appliance.tunnels import TUNNEL, Cable, answers, set_up

GROWN = {"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/.pwd.lock", "/etc/systemd/system"}
"""Files that adding any system user leaves."""

ELSEWHERE = re.compile(r"/(proc|sys|var/log|var/cache/apt|var/cache/ldconfig|root)/")


class Before:
    """The files and accounts of a machine before the installation."""

    def __init__(self, machine: Machine) -> None:
        machine.run("groupadd", "--force", "--system", "render")  # udev makes this group; a container has no udev
        self.machine = machine
        self._files, self._accounts = files_of(machine.root).keys(), self._lines("passwd", "group", "shadow")

    def new_files(self) -> set[str]:
        return files_of(self.machine.root).keys() - self._files

    def is_now(self) -> None:
        """Check that everything except the journal is as before."""
        assert self.new_files() - GROWN == set()
        assert self._files - files_of(self.machine.root).keys() == set()
        assert self._lines("passwd", "group", "shadow") - self._accounts == set()
        named = self.machine.output("find", "/", "-name", "*camiohookd*").splitlines()
        assert [file for file in named if not ELSEWHERE.match(file)] == []
        assert self.machine.output("systemctl", "list-units", "--all", "--no-legend", "camiohookd*") == ""
        assert self.machine.output("systemctl", "list-units", "--failed", "--no-legend") == ""
        assert self.machine.output("dpkg", "--audit") == ""

    def _lines(self, *names: str) -> set[str]:
        return {line for name in names for line in self.machine.path(f"/etc/{name}").read_text().splitlines()}


@pytest.fixture
def before(release: str, boot: Boot) -> Iterator[Before]:
    with boot(release) as machine:
        yield Before(machine)


def test_remove_keeps_settings_key_and_queue_and_purge_leaves_nothing(before: Before, deb: Deb) -> None:
    machine, appliance = before.machine, Appliance(before.machine)
    appliance.install(deb.path)
    appliance.configure()
    key = appliance.key

    machine.run("apt-get", "remove", "--yes", "camiohookd")
    assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() != "active"
    assert machine.path(SETTINGS).exists()
    assert key in machine.path(KEYS).read_text()
    assert machine.path(f"{STATE}/queue.json").exists()
    left = {file for file in before.new_files() if not file.startswith(("/etc/", STATE))}
    assert left - {"/usr/lib/camiohookd"} == set()

    machine.run("apt-get", "purge", "--yes", "camiohookd")
    before.is_now()


def test_purge_removes_running_tunnels_and_drop_ins(before: Before, release: str, boot: Boot, deb: Deb) -> None:
    machine, appliance = before.machine, Appliance(before.machine)
    appliance.install(deb.path)
    for name in ("accelerator", "own-code"):
        machine.run("sh", "-euc", documented_command(machine.path(f"/usr/share/camiohookd/{name}.conf")))
    assert (appliance.service["ActiveState"], appliance.service["PrivateDevices"]) == ("active", "no")
    with boot(release) as relay:
        Cable(machine, relay).plug_in()
        set_up(machine, relay)
        wait_until(lambda: answers(relay), "the relay's port leads to the box")
        machine.run("apt-get", "remove", "--yes", "camiohookd")
        assert not answers(relay)
        appliance.install(deb.path)
        wait_until(lambda: answers(relay), "the enabled tunnel is up again after the installation")
        tunnel, daemon = int(machine.properties(TUNNEL)["MainPID"]), appliance.pid

        machine.run("apt-get", "purge", "--yes", "camiohookd")
        running = machine.output("ps", "-e", "-o", "pid=").split()
        assert not {str(tunnel), str(daemon)} & set(running)
        assert not answers(relay)
    before.is_now()


def test_purge_of_a_failed_service_leaves_no_failed_unit(before: Before, deb: Deb) -> None:
    appliance = Appliance(before.machine)
    appliance.install(deb.path)
    appliance.configure("[hook]\nlisten = 'nonsense'\n")
    before.machine.run("systemctl", "restart", UNIT, check=False)
    wait_until(lambda: appliance.service["ActiveState"] == "failed", "the service has failed")
    before.machine.run("apt-get", "purge", "--yes", "camiohookd")
    before.is_now()
