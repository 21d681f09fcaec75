"""After an upgrade the new version has to label; if it does not, or the power fails, the one before does."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from camiohookd.queue.state_folder import FORMAT
from tests.appliance.appliance import ADMIN, STATE, Appliance
from tests.appliance.conftest import Boot, skip_on_second_release, skip_unless_long
from tests.appliance.debs import Changes, Deb, newer, variant
from tests.appliance.machine import Machine, wait_until
from tests.appliance.upgrades import (
    FAILURES,
    KEPT,
    LABELS_NOTHING,
    MIGRATES_AND_ENDS,
    PIN,
    ROLLED_BACK,
    assert_delivered,
    assert_labels,
    box_with_a_waiting_event,
    journal,
    post_while_camio_is_down,
    version,
    wait_for_trial,
)

NOTIFIED = f"{STATE}/notified"


@pytest.fixture(scope="session")
def good(deb: Deb, tmp_path_factory: pytest.TempPathFactory) -> Deb:
    return variant(deb, tmp_path_factory.mktemp("good"), "9.0.1")


@pytest.mark.parametrize("failure", FAILURES)
def test_a_version_that_does_not_label_is_replaced_by_the_one_before(
    release: str, boot: Boot, deb: Deb, good: Deb, tmp_path: Path, failure: str, long_run: bool
) -> None:
    skip_on_second_release(release, long_run, "the return to the version before")
    if failure != next(iter(FAILURES)):
        skip_unless_long(long_run, f"the return from a version that {failure}")
    changes, reason = FAILURES[failure]
    broken = variant(deb, tmp_path, "9.0.0", changes)
    with boot(release) as machine:
        appliance = Appliance(machine)
        appliance.install(deb.path)
        machine.write(NOTIFIED, "")
        machine.run("chown", "camiohookd:", NOTIFIED)
        appliance.configure(f"# The owner's own line.\n[notify]\ncommand = ['/usr/bin/tee', '{NOTIFIED}']\n")
        appliance.restart()
        settings = machine.path("/etc/camiohookd/camiohookd.toml").read_text()
        machine.path("/root/x.deb").write_bytes(broken.path.read_bytes())
        machine.run("sh", "-c", "apt-get install --yes /root/x.deb 2>&1")
        wait_for_trial(machine)
        assert version(machine) == f"{deb.field('Version')} installed", journal(machine)
        assert_labels(appliance, "rolled-back")
        assert machine.path("/etc/camiohookd/camiohookd.toml").read_text() == settings
        assert "Pin: version 9.0.0" in machine.path(PIN).read_text()
        told = status(appliance)
        assert told["verdict"] == "degraded"
        assert "Version 9.0.0 was replaced by the version before" in told["reasons"][0]
        assert reason in journal(machine)
        assert reason in told["reasons"][0]
        assert "Version 9.0.0 was replaced" in machine.output("curl", "--silent", ADMIN)
        wait_until(lambda: "Version 9.0.0" in machine.path(NOTIFIED).read_text(), appliance.log)
        assert_that_only_root_can_replace_the_copy(machine)

        machine.path("/root/x.deb").write_bytes(good.path.read_bytes())
        machine.run("sh", "-c", "apt-get install --yes /root/x.deb 2>&1")
        wait_for_trial(machine)
        assert version(machine) == "9.0.1 installed", journal(machine)
        assert_labels(appliance, "works")
        assert not machine.path(PIN).exists()
        assert not machine.path(ROLLED_BACK).exists()
        assert [path.name for path in machine.path(KEPT).iterdir()] == ["tree"], "one version is kept"
        assert f"\nVersion: {deb.field('Version')}\n" in machine.path(f"{KEPT}/tree/DEBIAN/control").read_text()
        wait_until(lambda: status(appliance)["verdict"] == "works", lambda: str(status(appliance)))
        machine.run("apt-get", "purge", "--yes", "camiohookd")
        assert not machine.path(KEPT).exists()


OLD_FILES_GONE = "rm -rf queue.json queue.json.new queue.journal-* segments replies\n"
STOP = "if [ -e stop ]; then rm stop; sync; touch reached; sleep 1000; fi\n"


@pytest.fixture
def box(release: str, boot: Boot, deb: Deb, long_run: bool) -> Iterator[Appliance]:
    """Yield a machine with the package and an event that waits, because Camio takes no labels."""
    skip_unless_long(long_run, "the return from a version that has migrated the queue")
    with box_with_a_waiting_event(boot, release, deb) as appliance:
        yield appliance


def status(box: Appliance) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(box.machine.run("camiohookd", "status", "--json", check=False).stdout)
    return found


def assert_restored(box: Appliance, deb: Deb) -> None:
    wait_for_trial(box.machine)
    assert version(box.machine) == f"{deb.field('Version')} installed", journal(box.machine)
    assert "the queue is as it was before the new version migrated it" in journal(box.machine)
    assert box.machine.path(f"{STATE}/format").read_text() == f"{FORMAT}\n"
    assert list(box.machine.path(STATE).glob("before-format-*")) == []


@pytest.mark.parametrize("power_fails", [False, True], ids=["at once", "after a power cut in the middle"])
def test_a_queue_that_the_new_version_migrated_is_restored(
    box: Appliance, deb: Deb, tmp_path: Path, power_fails: bool
) -> None:
    changes = MIGRATES_AND_ENDS | ({"restore": (OLD_FILES_GONE, f"{OLD_FILES_GONE}{STOP}")} if power_fails else {})
    machine = box.machine
    if power_fails:
        machine.run("install", "--owner=camiohookd", "/dev/null", f"{STATE}/stop")
    box.install(variant(newer(deb, tmp_path), tmp_path, "9.0.3", changes).path)
    if power_fails:
        wait_until(machine.path(f"{STATE}/reached").exists, lambda: journal(machine))
        machine.cut_power()
        machine.boot()
    assert_restored(box, deb)
    assert_delivered(box, "waiting")
    assert_labels(box, "rolled-back")


def test_events_that_the_new_version_accepted_are_restored_with_the_queue(
    box: Appliance, deb: Deb, tmp_path: Path
) -> None:
    box.install(variant(newer(deb, tmp_path), tmp_path, "9.0.4", LABELS_NOTHING).path)
    post_while_camio_is_down(box, "accepted-since")
    assert version(box.machine) == "9.0.4 installed", journal(box.machine)
    assert_restored(box, deb)
    assert "with the events that were accepted since" in journal(box.machine)
    assert_delivered(box, "waiting", "accepted-since")


OTHER_RECORDS = {"preinst": ("CHP1.1'", "CHP1.1,CHP9.1'")}
"""Changes for a version that writes records that the one before cannot read."""


def assert_stays(box: Appliance, number: str, why: str) -> None:
    """Wait until a trial has left version `number` installed, and check that the box says so, and works on."""
    machine = box.machine
    wait_until(lambda: machine.path(ROLLED_BACK).exists(), lambda: journal(machine))
    wait_until(lambda: box.service["ActiveState"] == "active", box.log)
    assert version(machine) == f"{number} installed", journal(machine)
    assert f"{number} stays installed, although it did not label an event within 20 s" in journal(machine)
    wait_until(lambda: status(box)["verdict"] == "degraded", lambda: str(status(box)))
    assert f"Version {number} failed its trial" in status(box)["reasons"][0]
    assert why in status(box)["reasons"][0]
    assert f"Version {number} failed its trial" in machine.output("curl", "--silent", ADMIN)
    assert not machine.path(PIN).exists()


def test_a_failing_version_stays_if_the_one_before_could_not_read_its_events_and_says_so_until_a_newer_one_works(
    box: Appliance, deb: Deb, tmp_path: Path
) -> None:
    machine = box.machine
    failing = variant(newer(deb, tmp_path), tmp_path, "9.0.5", OTHER_RECORDS, LABELS_NOTHING)
    box.install(failing.path)
    post_while_camio_is_down(box, "accepted-since")
    for again in (False, True):
        if again:
            machine.path(ROLLED_BACK).unlink()
            machine.reboot()
        assert_stays(box, "9.0.5", "could not read the events that were accepted since")
        assert list(machine.path(STATE).glob("before-format-*")) != []
    assert_delivered(box, "waiting", "accepted-since")
    works = tmp_path / "works"
    works.mkdir()
    box.install(variant(newer(deb, works), works, "9.0.6", OTHER_RECORDS).path)
    wait_for_trial(machine)
    assert version(machine) == "9.0.6 installed", journal(machine)
    wait_until(lambda: status(box)["verdict"] == "works", lambda: str(status(box)))


def test_a_failing_version_stays_if_the_one_before_cannot_be_installed(
    box: Appliance, deb: Deb, tmp_path: Path
) -> None:
    """As if the disk had no room for it."""
    no_package = {"trial": ("dpkg-deb -Znone", "false -Znone")}
    box.install(variant(deb, tmp_path, "9.0.7", LABELS_NOTHING, no_package).path)
    assert_stays(box, "9.0.7", "dpkg cannot install it")
    assert_delivered(box, "waiting")


def assert_that_only_root_can_replace_the_copy(machine: Machine) -> None:
    """In /var/cache/camiohookd the service could rename root's folder, and put a package of its own in its place."""
    service = ("setpriv", "--reuid=camiohookd", "--regid=camiohookd", "--clear-groups")
    machine.run("install", "-d", "-m", "0700", "/var/cache/camiohookd/previous")
    machine.run(*service, "mv", "/var/cache/camiohookd/previous", "/var/cache/camiohookd/renamed")
    machine.run("rmdir", "/var/cache/camiohookd/renamed")
    for line in ("mv KEPT KEPT.renamed", "ls KEPT", "touch KEPT/trial", "mkdir KEPT.new"):
        refused = machine.run(*service, *line.replace("KEPT", KEPT).split(), check=False)
        assert "Permission denied" in refused.stderr, line


WORKS: Changes = {}
STAGES: dict[str, tuple[str, str, str, Changes]] = {
    "the old one is about to be stopped": ("old", "prerm", "set -e\n", WORKS),
    "the new one is about to be unpacked": ("new", "preinst", "# Installed again after", WORKS),
    "the old one's files are replaced": ("old", "postrm", "set -e\n", WORKS),
    "the new one is configured": ("new", "postinst", "set -e\n", WORKS),
    "the new one is tried": ("new", "trial", "  ends=$((", LABELS_NOTHING),
    "the new one is about to be stopped for its return": ("new", "prerm", "set -e\n", LABELS_NOTHING),
    "the old one is about to be unpacked again": ("old", "preinst", "# Installed again after", LABELS_NOTHING),
    "the new one's files are replaced again": ("new", "postrm", "set -e\n", LABELS_NOTHING),
    "the old one is configured again": ("old", "postinst", "set -e\n", LABELS_NOTHING),
}
"""The step of an upgrade, or of the return from it: whose script runs then, where it is stopped, and changes of the new
version. dpkg calls each of these scripts once in an upgrade and a return (Debian Policy 6.6)."""


@pytest.mark.parametrize("step", STAGES)
def test_the_box_labels_after_a_power_cut_at_each_step_of_an_upgrade_and_of_a_return(
    release: str, boot: Boot, deb: Deb, tmp_path: Path, step: str, long_run: bool
) -> None:
    skip_unless_long(long_run, f"a power cut while {step}")
    whose, script, place, changes = STAGES[step]
    stop = "if [ -e /root/stop ]; then rm /root/stop; sync; touch /root/reached; sleep 1000; fi\n"
    stopped = f"{place}{stop}" if place.endswith("\n") else f"{stop}{place}"
    old = variant(deb, tmp_path, "8.0.0", {script: (place, stopped)} if whose == "old" else {})
    new = variant(deb, tmp_path, "9.0.2", changes, {script: (place, stopped)} if whose == "new" else {})
    with boot(release) as machine:
        appliance = Appliance(machine)
        appliance.set_up(old.path)
        machine.path("/root/x.deb").write_bytes(new.path.read_bytes())
        machine.path("/root/stop").touch()
        machine.run("systemd-run", "--unit=upgrade", "sh", "-c", "apt-get install --yes /root/x.deb 2>&1")
        wait_until(
            machine.path("/root/reached").exists,
            lambda: machine.output("journalctl", "--unit=upgrade", "--unit=camiohookd-trial"),
        )
        machine.cut_power()
        machine.boot()
        wait_for_trial(machine)
        assert_labels(appliance, "power-cut")
        if machine.output("dpkg", "--audit") != "":  # dpkg had hardly begun: as docs/troubleshooting.md says
            machine.run("dpkg", "--configure", "-a", check=False)
            machine.run("apt-get", "install", "--yes", "/root/x.deb")
        possible = {"8.0.0 installed"} if changes else {"8.0.0 installed", "9.0.2 installed"}
        assert version(machine) in possible, journal(machine)
