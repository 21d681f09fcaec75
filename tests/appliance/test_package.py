"""Check the package's file, and its units with systemd's own tools."""

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.appliance import roots
from tests.appliance.appliance import UNIT, Appliance, documented_command
from tests.appliance.conftest import RELEASES, not_here, own_architecture
from tests.appliance.debs import Deb
from tests.support.checkout import ROOT

PrintFigure = Callable[[str], None]
MAX_DEB, MAX_INSTALLED = 33e6, 135e6
INSTANCES = (UNIT, "camiohookd-tunnel@test.service")
EXPOSURE = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")


def test_the_package_is_small(deb: Deb, print_figure: PrintFigure) -> None:
    size, unpacked = deb.path.stat().st_size, int(deb.field("Installed-Size")) * 1024
    print_figure(f"{deb.path.name}: {size / 1e6:.1f} MB, installed {unpacked / 1e6:.1f} MB")
    assert size <= MAX_DEB
    assert unpacked <= MAX_INSTALLED


def test_lintian_reports_nothing(deb: Deb, print_figure: PrintFigure) -> None:
    if shutil.which("lintian") is None:
        not_here("what lintian says", "there is no lintian: apt install lintian")
    done = subprocess.run(
        ["lintian", "--tag-display-limit=0", deb.path], capture_output=True, text=True, check=False, timeout=600
    )
    tags = re.findall(r"^[EW]: .*$", done.stdout, re.MULTILINE)
    print_figure(f"lintian: {sum(tag[0] == 'E' for tag in tags)} errors, {sum(tag[0] == 'W' for tag in tags)} warnings")
    assert tags == []
    assert done.returncode == 0, done.stderr


def test_piuparts_finds_no_leftover_files(deb: Deb, release: str, _can_boot: None, print_figure: PrintFigure) -> None:
    """Install, remove and purge in a root folder that is not booted: afterwards the disk is as before."""
    if shutil.which("piuparts") is None:
        not_here("what piuparts says", "there is no piuparts: apt install piuparts")
    root = roots.root_folder(release, own_architecture())
    options = [f"--distribution={release}", f"--existing-chroot={root}"]
    options += [f"--mirror={url} main" for url in roots.mirror()]
    options.append("--ignore=/var/cache/debconf/tmp.ci/")  # apt-utils makes it at any installation
    done = subprocess.run(["piuparts", *options, deb.path], capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-5000:]
    assert "PASS: All tests." in done.stdout
    print_figure(f"piuparts: {RELEASES[release]}: passed")


@pytest.mark.parametrize("unit", INSTANCES)
def test_systemd_analyze_accepts_the_units(installed: Appliance, unit: str) -> None:
    # A minimal Debian has no man program. The next test checks that the pages exist.
    done = installed.machine.run("systemd-analyze", "verify", "--man=no", unit)
    assert done.stdout + done.stderr == ""


def test_the_documentation_named_by_the_units_exists(installed: Appliance) -> None:
    for page in re.findall(r"man:(\S+?)\((\d)\)", installed.machine.output("systemctl", "cat", *INSTANCES)):
        assert installed.machine.path("/usr/share/man/man{1}/{0}.{1}.gz".format(*page)).exists(), page


def test_the_manual_is_installed(installed: Appliance) -> None:
    folder = installed.machine.path("/usr/share/doc/camiohookd")
    assert {page.name for page in (ROOT / "docs").glob("*.md")} == {page.name for page in folder.glob("*.md")}
    [named] = re.findall(r"(\S+)/internet\.md", installed.machine.output("camiohookd", "setup", "--help"))
    assert named == "/usr/share/doc/camiohookd"
    assert (folder / "examples/own-labels.md").is_file()  # ../camiohookd/examples, as own-code.md links to it


def exposure(installed: Appliance, unit: str = UNIT) -> float:
    text = installed.machine.output("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    return float(EXPOSURE.findall(text)[0])


def test_the_services_exposure_is_low(installed: Appliance, release: str, print_figure: PrintFigure) -> None:
    base = exposure(installed)
    file = "/usr/share/camiohookd/accelerator.conf"
    installed.machine.run("groupadd", "--force", "--system", "render")  # udev makes this group; a container has no udev
    installed.machine.run("sh", "-euc", documented_command(installed.machine.path(file)))
    with_accelerator = exposure(installed)
    service = installed.service
    installed.drop_in("accelerator", None)
    installed.restart()
    assert (service["ActiveState"], service["PrivateDevices"]) == ("active", "no")
    print_figure(f"{RELEASES[release]}: exposure {base}, with accelerator.conf {with_accelerator}")
    assert base <= 1.2
    assert base < with_accelerator <= 1.6
