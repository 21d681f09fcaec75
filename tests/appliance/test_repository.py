"""A box that knows the repository: install, upgrade by apt and by unattended-upgrades, rollback, downgrade, attacks."""

import re
import shutil
from pathlib import Path

from tests.appliance import roots
from tests.appliance.appliance import UNIT, Appliance
from tests.appliance.conftest import own_architecture
from tests.appliance.debs import Deb, variant
from tests.appliance.machine import Machine, wait_until
from tests.appliance.publishing import ADDRESS, PLACEHOLDER, Publisher, served, without_other_sources
from tests.appliance.upgrades import KEPT, LABELS_NOTHING, PATIENCE, PIN, assert_labels, version, wait_for_trial
from tests.support.checkout import ROOT

PACKAGES = (*roots.PACKAGES, "unattended-upgrades", "wget")
EXPIRED_SIGNATURE = {"bookworm": "EXPSIG", "trixie": "sqv.*expired"}
"""What the verifier of each release says: gpgv, and sqv of Sequoia."""

PAGE = (ROOT / "docs/install.md").read_text()


def typed(title: str) -> list[list[str]]:
    """Return the commands of each block of a section of docs/install.md."""
    text = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [block.strip().splitlines() for block in text.split("```")[1::2]]


def test_the_lines_of_the_page_install_and_then_the_box_keeps_itself_up_to_date(
    release: str, tmp_path: Path, _can_boot: None, publisher: Publisher, deb: Deb
) -> None:
    by_apt, by_itself, broken = (
        variant(deb, tmp_path, number, changes)
        for number, changes in (("9.1.0", {}), ("9.2.0", {}), ("9.3.0", LABELS_NOTHING))
    )
    publisher.publish(deb)
    folder = tmp_path / "layer"
    with roots.layer(release, own_architecture(), folder, PACKAGES) as root, Machine(root) as machine:
        without_other_sources(root)
        appliance = Appliance(machine)
        with served(machine, publisher.repository):
            first, unattended = typed("Install and update from a repository")[:2]
            for line in first:
                machine.run("sh", "-c", command_of(line))
            assert version(machine) == f"{deb.field('Version')} installed"
            appliance.configure()
            appliance.restart()

            publisher.publish(by_apt)
            machine.run("sh", "-c", "apt-get update && apt-get upgrade --yes 2>&1")
            wait_for_trial(machine)
            assert version(machine) == "9.1.0 installed"

            for line in unattended[1:]:  # the first one installs it, and it is there
                machine.run("sh", "-c", command_of(line))
            publisher.publish(by_itself)
            machine.run("sh", "-c", "apt-get update && unattended-upgrade --verbose 2>&1", timeout=PATIENCE)
            wait_for_trial(machine)
            assert version(machine) == "9.2.0 installed"
            assert_labels(appliance, "by-itself")

            publisher.publish(broken)
            machine.run("sh", "-c", "apt-get update && unattended-upgrade --verbose 2>&1", timeout=PATIENCE)
            wait_for_trial(machine)
            assert version(machine) == "9.2.0 installed"
            machine.run("sh", "-c", "apt-get update && unattended-upgrade --verbose 2>&1", timeout=PATIENCE)
            assert version(machine) == "9.2.0 installed"  # and it is not taken again
            assert_labels(appliance, "rolled-back")

            machine.run("apt-get", "install", "--yes", "--allow-downgrades", "camiohookd=9.1.0")
            wait_for_trial(machine)
            assert version(machine) == "9.1.0 installed"
            assert "Pin: version 9.3.0" in machine.path(PIN).read_text()  # still
            wait_until(lambda: appliance.service["ActiveState"] == "active", appliance.log)
            assert machine.path(KEPT).stat().st_mode & 0o777 == 0o700
            assert machine.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"


def test_changed_and_expired_lists_an_expired_signature_and_a_changed_package_are_refused(
    release: str, tmp_path: Path, _can_boot: None, publisher: Publisher, deb: Deb
) -> None:
    """Debian 13's apt verifies signatures with another program than Debian 12's."""
    publisher.publish(deb)
    lists = publisher.repository / "dists/stable"
    whole = shutil.copytree(lists, tmp_path / "whole")
    with roots.layer(release, own_architecture(), tmp_path / "layer", PACKAGES) as root, Machine(root) as machine:
        without_other_sources(root)
        with served(machine, publisher.repository):
            for line in typed("Install and update from a repository")[0][:2]:
                machine.run("sh", "-c", command_of(line))

            for file in lists.rglob("*"):
                if file.is_file() and file.read_bytes().startswith(b"Package: "):
                    file.write_bytes(file.read_bytes().replace(b"Maintainer: ", b"maintainer: "))
                elif file.is_file() and "Release" not in file.name:  # a compressed list
                    file.write_bytes(file.read_bytes()[:-1] + b"X")
            assert re.search("Hash Sum mismatch|unexpected size", refused(machine))

            shutil.copytree(whole, lists, dirs_exist_ok=True)
            publisher.expire()
            assert "is expired" in refused(machine)

            shutil.copytree(whole, lists, dirs_exist_ok=True)
            key = machine.path("/usr/share/keyrings/camiohookd.asc")
            trusted = key.read_bytes()
            key.write_bytes(publisher.sign_years_ago("expired signature", "--default-sig-expire", "1d"))
            assert re.search(EXPIRED_SIGNATURE[release], refused(machine), re.IGNORECASE)

            shutil.copytree(whole, lists, dirs_exist_ok=True)
            key.write_bytes(publisher.sign_years_ago("expired key", key_expires="1y"))
            if release == "bookworm":  # Debian 13's accepts a signature that is older than the end of its key
                assert "EXPKEYSIG" in refused(machine)

            shutil.copytree(whole, lists, dirs_exist_ok=True)
            key.write_bytes(trusted)
            (package,) = publisher.repository.rglob("*.deb")
            data = package.read_bytes()
            package.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
            assert re.search("Hash Sum mismatch|unexpected size", refused(machine))

            package.write_bytes(data)
            machine.run("sh", "-c", "apt-get update && apt-get install --yes camiohookd 2>&1")


def refused(machine: Machine) -> str:
    """Try to install the package from new lists, which must fail; return what apt says."""
    machine.run("sh", "-c", "rm -rf /var/lib/apt/lists/*")
    told = machine.run("sh", "-c", "apt-get update 2>&1; apt-get install --yes camiohookd 2>&1", check=False)
    assert told.returncode != 0, told.stdout
    assert not machine.path("/usr/bin/camiohookd").exists()
    return told.stdout


def command_of(line: str) -> str:
    """Return a line of the page with the address of the test; apt is answered yes."""
    address = line.replace(PLACEHOLDER, ADDRESS).replace("sudo ", "")
    return address.replace("apt install ", "apt install --yes ")
