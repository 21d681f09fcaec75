"""What is left of the package when it goes: everything that is the owner's, and after a purge nothing."""

from tests.appliance.appliance import KEYS, SETTINGS, STATE, UNIT, Appliance, files_of
from tests.appliance.conftest import Boot
from tests.appliance.debs import Deb

GROWN = {"/etc/passwd-", "/etc/shadow-", "/etc/group-", "/etc/gshadow-", "/etc/.pwd.lock", "/etc/systemd/system"}
"""What adding any user to a system leaves."""


def test_removing_keeps_settings_key_and_queue_and_purging_leaves_nothing(release: str, boot: Boot, deb: Deb) -> None:
    with boot(release) as machine:
        before = files_of(machine.root)
        users = set(machine.path("/etc/passwd").read_text().splitlines())
        appliance = Appliance(machine)
        appliance.install(deb.path)
        appliance.configure()
        key = appliance.key
        documented = machine.path("/usr/share/camiohookd/accelerator.conf").read_text().splitlines()
        assert any("systemctl daemon-reload" in line for line in documented)
        appliance.drop_in("accelerator", machine.path("/usr/share/camiohookd/accelerator.conf").read_text())

        machine.run("apt-get", "remove", "--yes", "camiohookd")
        assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() != "active"
        assert machine.path(SETTINGS).exists()
        assert key in machine.path(KEYS).read_text()
        assert machine.path(f"{STATE}/queue.json").exists()
        left = {file for file in files_of(machine.root) if file not in before and not file.startswith("/etc/")}
        assert {file for file in left if not file.startswith(STATE)} - {"/usr/lib/camiohookd"} == set()

        machine.run("apt-get", "purge", "--yes", "camiohookd")
        after = files_of(machine.root)
        assert {file for file in after if file not in before} - GROWN == set()
        assert {file for file in before if file not in after} == set()
        assert set(machine.path("/etc/passwd").read_text().splitlines()) - users == set()
        assert machine.output("systemctl", "list-units", "--failed", "--no-legend") == ""
