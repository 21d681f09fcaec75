"""The package on Ubuntu 24.04: install, label, upgrade, go back from a version that fails, purge.

The machine runs on this host's kernel, so Ubuntu's own kernel and its AppArmor rules are not tested.
"""

from pathlib import Path

import pytest

from tests.appliance import roots
from tests.appliance.appliance import Appliance
from tests.appliance.conftest import own_architecture, skip_unless_long
from tests.appliance.debs import Deb, variant
from tests.appliance.machine import Machine
from tests.appliance.upgrades import FAILURES, assert_labels, journal, version, wait_for_trial


def test_the_package_works_on_ubuntu(tmp_path: Path, _can_boot: None, deb: Deb, long_run: bool) -> None:
    skip_unless_long(long_run, "the package on Ubuntu 24.04")
    if own_architecture() != "amd64":
        pytest.skip("NOT TESTED: the package on Ubuntu 24.04, because the test knows only its archive for amd64")
    changes, reason = FAILURES["ends at once"]
    broken, good = variant(deb, tmp_path, "9.0.0", changes), variant(deb, tmp_path, "9.0.1")
    try:
        roots.root_folder(roots.UBUNTU, "amd64")
    except roots.CannotMakeRoot as error:
        pytest.skip(f"NOT TESTED: the package on Ubuntu 24.04, because its packages cannot be had: {error}")
    with roots.layer(roots.UBUNTU, "amd64", tmp_path / "layer") as root, Machine(root) as machine:
        box = Appliance(machine)
        assert 'VERSION_ID="24.04"' in machine.path("/etc/os-release").read_text()
        box.install(deb.path)
        assert (box.at_install.enabled, box.at_install.service["ActiveState"]) == ("enabled", "active"), box.log()
        box.configure()
        box.restart()
        assert_labels(box, "first")
        box.install(broken.path)
        wait_for_trial(machine)
        assert version(machine) == f"{deb.field('Version')} installed", journal(machine)
        assert reason in journal(machine)
        assert_labels(box, "rolled-back")
        box.install(good.path)
        wait_for_trial(machine)
        assert version(machine) == "9.0.1 installed", journal(machine)
        assert_labels(box, "upgraded")
        machine.run("apt-get", "purge", "--yes", "camiohookd")
        assert machine.output("dpkg", "--audit") == ""
        assert machine.output("find", "/etc", "/usr", "/var/lib", "/var/cache", "-name", "camiohookd*") == ""
