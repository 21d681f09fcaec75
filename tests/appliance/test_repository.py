"""A box that knows the repository: install, upgrade by apt and by unattended-upgrades, rollback, downgrade."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.appliance import roots
from tests.appliance.appliance import UNIT, Appliance
from tests.appliance.conftest import not_here, own_architecture, skip_unless_long
from tests.appliance.debs import Deb, variant
from tests.appliance.machine import Machine, wait_until
from tests.appliance.upgrades import (
    ENDS_AT_ONCE,
    KEPT,
    PATIENCE,
    SHORT_TRIAL,
    assert_labels,
    version,
    wait_for_trial,
)
from tests.support.checkout import ROOT
from tests.support.file_server import serving

PACKAGES = (*roots.PACKAGES, "unattended-upgrades", "wget")
PORT = 8765
PAGE = (ROOT / "docs/install.md").read_text()


class Publisher:
    """Publishes packages in the folder `repository` with a key of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.repository = folder / "repository"
        self._dist = folder / "dist"
        self._dist.mkdir()
        self._environ = {**os.environ, "GNUPGHOME": str(home), "CAMIOHOOKD_DIST": str(self._dist)}
        make = ["gpg", "--batch", "--passphrase", "", "--pinentry-mode", "loopback", "--quick-gen-key", "publisher"]
        subprocess.run([*make, "ed25519", "sign", "never"], env=self._environ, check=True, capture_output=True)

    def publish(self, deb: Deb) -> None:
        name = f"camiohookd_{deb.field('Version')}_{own_architecture()}.deb"
        shutil.copy(deb.path, self._dist / name)
        address = f"http://127.0.0.1:{PORT}"
        command = [str(ROOT / "build.sh"), "repository", "--key", "publisher", "--into", str(self.repository)]
        subprocess.run([*command, "--url", address], env=self._environ, check=True, capture_output=True)


@pytest.fixture
def publisher(tmp_path: Path, long_run: bool) -> Iterator[Publisher]:
    skip_unless_long(long_run, "updates from a repository")
    for program, package in {"apt-ftparchive": "apt-utils", "gpg": "gpg"}.items():
        if shutil.which(program) is None:
            not_here("the repository on a booted system", f"there is no {program}: apt install {package}")
    with TemporaryDirectory(prefix="gpg", dir="/tmp") as home:
        yield Publisher(tmp_path, Path(home))
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": home}, check=False)


@contextmanager
def served(machine: Machine, folder: Path) -> Iterator[None]:
    """Serve `folder` on the machine's loopback."""
    with ExitStack() as running:
        with machine.network():
            running.enter_context(serving(folder, PORT))
        yield


def typed(title: str) -> list[list[str]]:
    """Return the commands of each block of a section of docs/install.md."""
    text = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [block.strip().splitlines() for block in text.split("```")[1::2]]


def test_the_lines_of_the_page_install_and_then_the_box_keeps_itself_up_to_date(
    release: str, tmp_path: Path, _can_boot: None, publisher: Publisher, deb: Deb
) -> None:
    by_apt, by_itself, broken = (
        variant(deb, tmp_path, number, **changes)
        for number, changes in (
            ("9.1.0", {}),
            ("9.2.0", {}),
            ("9.3.0", {"launcher": ENDS_AT_ONCE, "trial": SHORT_TRIAL}),
        )
    )
    publisher.publish(deb)
    folder = tmp_path / "layer"
    with roots.layer(release, own_architecture(), folder, PACKAGES) as root, Machine(root) as machine:
        for source in [*root.glob("etc/apt/sources.list"), *root.glob("etc/apt/sources.list.d/*")]:
            source.unlink()  # the machine has no other network
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
            assert version(machine) == "9.1.0 installed"
            wait_until(lambda: appliance.service["ActiveState"] == "active", appliance.log)
            assert machine.path(KEPT).stat().st_mode & 0o777 == 0o700
            assert machine.run("systemctl", "is-enabled", UNIT).stdout.strip() == "enabled"


def command_of(line: str) -> str:
    """Return a line of the page with the address of the test; apt is answered yes."""
    address = line.replace("https://packages.example.org", f"http://127.0.0.1:{PORT}").replace("sudo ", "")
    return address.replace("apt install ", "apt install --yes ")
