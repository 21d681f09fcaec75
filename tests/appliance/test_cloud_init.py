"""cloud-init accepts the example, and a box that it sets up by the example labels."""

import json
from pathlib import Path

from camiohookd.config import admin_password
from tests.appliance import roots
from tests.appliance.appliance import SETTINGS, Appliance
from tests.appliance.conftest import own_architecture
from tests.appliance.debs import Deb
from tests.appliance.machine import Machine
from tests.appliance.publishing import ADDRESS, PLACEHOLDER, Publisher, served, without_other_sources
from tests.support.checkout import ROOT

PACKAGES = (*roots.PACKAGES, "unattended-upgrades", "wget", "tzdata", "cloud-init")
EXAMPLE = ROOT / "fleet/user-data"
TEST_SETTINGS = "datasource_list: [NoCloud]\nlocale: false\n"  # minbase has no locales
SEED = "/var/lib/cloud/seed/nocloud"
SWITCHED_OFF = "/etc/cloud/cloud-init.disabled"
STAGES = ("init --local", "init", "modules --mode=config", "modules --mode=final")
"""What cloud-init's units run at a boot, in this order."""


def test_cloud_init_accepts_the_example_and_sets_up_a_box_by_it(
    release: str, tmp_path: Path, _can_boot: None, publisher: Publisher, deb: Deb
) -> None:
    """The stages run after the boot, because the repository is served in the network of the booted machine."""
    publisher.publish(deb)
    with roots.layer(release, own_architecture(), tmp_path / "layer", PACKAGES) as root:
        without_other_sources(root)
        (root / SWITCHED_OFF.lstrip("/")).touch()
        with Machine(root) as machine:
            machine.write("/root/user-data", EXAMPLE.read_text())
            checked = machine.run("cloud-init", "schema", "--config-file", "/root/user-data")
            assert "Valid" in checked.stdout, checked.stdout + checked.stderr

            made = str(admin_password.make("the password of all boxes"))
            machine.write("/etc/cloud/cloud.cfg.d/99-test.cfg", TEST_SETTINGS)
            machine.write(f"{SEED}/meta-data", "instance-id: box-1\n")
            filled_in = EXAMPLE.read_text().replace(PLACEHOLDER, ADDRESS).replace("SCRYPT-HASH", made)
            machine.write(f"{SEED}/user-data", filled_in)
            machine.path(SWITCHED_OFF).unlink()
            with served(machine, publisher.repository):
                for stage in STAGES:
                    machine.run("cloud-init", *stage.split(), timeout=600)
            said = machine.path("/var/log/cloud-init-output.log").read_text()
            result = json.loads(machine.output("cat", "/run/cloud-init/result.json"))["v1"]
            assert result["errors"] == [], said
            assert "NoCloud" in result["datasource"]

            assert machine.output("hostname").strip().lower() == "camera-box"
            assert 'public_url = "https://box.example.org"' in machine.path(SETTINGS).read_text(), said
            assert machine.path("/etc/camiohookd/admin-password").read_text() == f"{made}\n"
            assert not machine.path("/root/camiohookd.preseed").exists()
            assert machine.path("/etc/apt/apt.conf.d/52camiohookd-unattended-upgrades").exists()
            assert Appliance(machine).service["ActiveState"] == "active", said
            machine.run("camiohookd", "doctor", "--event")
