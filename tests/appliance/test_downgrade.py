"""Downgrade to a package that cannot read the queue: apt refuses it, or else the daemon refuses to start."""

import re
import shutil
from collections.abc import Iterator

import pytest

from camiohookd.queue.state_folder import FORMAT
from tests.appliance.appliance import HOOK, STATE, UNIT, Appliance
from tests.appliance.conftest import Boot
from tests.appliance.debs import NEWER, Deb, newer
from tests.appliance.machine import wait_until
from tests.appliance.test_upgrade import contents
from tests.appliance.upgrades import assert_delivered, box_with_a_waiting_event, version

OLD_ONE = "/root/this.deb"
KNOWINGLY = "--allow-downgrades"


@pytest.fixture(scope="module")
def newer_deb(deb: Deb, tmp_path_factory: pytest.TempPathFactory) -> Deb:
    return newer(deb, tmp_path_factory.mktemp("newer"))


@pytest.fixture
def box(release: str, boot: Boot, deb: Deb, newer_deb: Deb) -> Iterator[Appliance]:
    """Yield a machine with the newer package and an event in its queue. The package under test is copied to it."""
    with box_with_a_waiting_event(boot, release, newer_deb) as appliance:
        assert appliance.machine.path(f"{STATE}/format").read_text() == f"{FORMAT + 1}\n"
        shutil.copy(deb.path, appliance.machine.path(OLD_ONE))
        yield appliance


def downgrade(box: Appliance, *options: str) -> tuple[int, str]:
    """Try to install the older package; return apt's exit status and output."""
    done = box.machine.run("apt-get", "install", "--yes", *options, OLD_ONE, check=False)
    return done.returncode, done.stdout + done.stderr


def test_refuses_before_anything_changes_and_the_newer_version_keeps_running(box: Appliance) -> None:
    status, said = downgrade(box)
    assert status != 0
    assert "Packages were downgraded and -y was used without --allow-downgrades" in said, "apt's own refusal"
    status, said = downgrade(box, KNOWINGLY)
    assert status != 0
    assert re.search(rf"the queue in {STATE} has format {FORMAT + 1}, .* up to format {FORMAT}\.", said, re.DOTALL), (
        said
    )
    assert "Install the newer version" in said
    assert (version(box.machine), box.service["ActiveState"]) == (f"{NEWER} installed", "active")
    assert_delivered(box, "waiting")


def test_the_older_version_works_after_moving_the_queue_away_and_never_changes_a_newer_queue(
    box: Appliance, deb: Deb, newer_deb: Deb
) -> None:
    machine = box.machine
    _, said = downgrade(box, KNOWINGLY)
    (put_away,) = re.findall(r"^ +(sudo systemctl .*)$", said, re.MULTILINE)
    machine.run("sh", "-euc", put_away)
    assert downgrade(box, KNOWINGLY)[0] == 0
    assert version(machine) == f"{deb.field('Version')} installed"
    with machine.network():
        assert box.status(f"{HOOK}/tasks/") == 200
        assert box.pending() == 0

    # As if the owner restored a backup of the newer version's queue.
    machine.run("systemctl", "stop", UNIT)
    machine.run("sh", "-euc", f"rm -r {STATE} && mv {STATE}.newer {STATE}")
    before = contents(machine.path(STATE))
    machine.run("systemctl", "start", UNIT, check=False)
    wait_until(lambda: box.service["ActiveState"] == "failed", "the service has failed")
    service = box.service
    assert (service["ExecMainStatus"], service["NRestarts"], service["Result"]) == ("78", "0", "exit-code")
    assert re.search(
        rf"has format {FORMAT + 1}, .* up to format {FORMAT}\. Install that newer version again", box.log()
    )
    assert contents(machine.path(STATE)) == before

    box.install(newer_deb.path)
    assert (version(box.machine), box.at_install.service["ActiveState"]) == (f"{NEWER} installed", "active")
    assert_delivered(box, "waiting")


def test_refuses_over_a_newer_queue_of_a_removed_package(box: Appliance, newer_deb: Deb) -> None:
    box.machine.run("apt-get", "remove", "--yes", "camiohookd")
    before = contents(box.machine.path(STATE))
    status, said = downgrade(box)
    assert status != 0
    assert f"has format {FORMAT + 1}" in said
    assert contents(box.machine.path(STATE)) == before
    assert box.machine.output("dpkg", "--audit") == ""
    box.install(newer_deb.path)
    assert (version(box.machine), box.at_install.service["ActiveState"]) == (f"{NEWER} installed", "active")
