"""cloud-init accepts the example, and sets up a box by it at its first boot: the box labels."""

import json
import shutil
from pathlib import Path

from camiohookd.config import admin_password
from tests.appliance import roots
from tests.appliance.appliance import SETTINGS, Appliance
from tests.appliance.conftest import own_architecture
from tests.appliance.debs import Deb
from tests.appliance.machine import Machine
from tests.appliance.publishing import ADDRESS, PLACEHOLDER, PORT, Publisher, without_other_sources
from tests.support.checkout import ROOT

PACKAGES = (*roots.PACKAGES, "unattended-upgrades", "wget", "tzdata", "cloud-init")
EXAMPLE = ROOT / "fleet/user-data"
TEST_SETTINGS = "datasource_list: [NoCloud]\nlocale: false\n"  # minbase has no locales
SEED = "var/lib/cloud/seed/nocloud"
SERVER = f"""[Unit]
Before=cloud-final.service
[Service]
ExecStart=/usr/bin/python3 -m http.server {PORT} --bind 127.0.0.1 --directory /srv/repository
"""
"""A unit of the machine, whose network is there only while it runs: serves the repository from its boot on."""


def test_cloud_init_accepts_the_example_and_sets_up_a_box_by_it_at_its_first_boot(
    release: str, tmp_path: Path, _can_boot: None, publisher: Publisher, deb: Deb
) -> None:
    publisher.publish(deb)
    made = str(admin_password.make("the password of all boxes"))
    filled_in = EXAMPLE.read_text().replace(PLACEHOLDER, ADDRESS).replace("SCRYPT-HASH", made)
    files = {
        f"{SEED}/meta-data": "instance-id: box-1\n",
        f"{SEED}/user-data": filled_in,
        "etc/cloud/cloud.cfg.d/99-test.cfg": TEST_SETTINGS,
        "etc/systemd/system/repository.service": SERVER,
        "root/user-data": EXAMPLE.read_text(),
    }
    with roots.layer(release, own_architecture(), tmp_path / "layer", PACKAGES) as root:
        without_other_sources(root)
        shutil.copytree(publisher.repository, root / "srv/repository")
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        wanted = root / "etc/systemd/system/multi-user.target.wants/repository.service"
        wanted.symlink_to("/etc/systemd/system/repository.service")
        with Machine(root) as machine:
            machine.run("cloud-init", "status", "--wait", check=False)
            said = machine.path("/var/log/cloud-init-output.log").read_text()
            result = json.loads(machine.output("cat", "/run/cloud-init/result.json"))["v1"]
            assert result["errors"] == [], said
            assert "NoCloud" in result["datasource"]
            checked = machine.run("cloud-init", "schema", "--config-file", "/root/user-data")
            assert "Valid" in checked.stdout, checked.stdout + checked.stderr

            assert machine.output("hostname").strip().lower() == "camera-box"
            assert 'public_url = "https://box.example.org"' in machine.path(SETTINGS).read_text(), said
            assert machine.path("/etc/camiohookd/admin-password").read_text() == f"{made}\n"
            assert not machine.path("/root/camiohookd.preseed").exists()
            assert machine.path("/etc/apt/apt.conf.d/52camiohookd-unattended-upgrades").exists()
            assert Appliance(machine).service["ActiveState"] == "active", said
            machine.run("camiohookd", "doctor", "--event")
