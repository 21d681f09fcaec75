"""The package as a file, and its units as systemd's own tools see them."""

import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.appliance.appliance import UNIT, Appliance
from tests.appliance.conftest import RELEASES, not_here
from tests.appliance.debs import Deb

PrintFigure = Callable[[str], None]
MAX_DEB, MAX_INSTALLED = 33e6, 135e6
UNITS = (UNIT, "camiohookd-tunnel@.service")
EXPOSURE = re.compile(r"Overall exposure level for \S+: ([0-9.]+)")


def test_it_is_small(deb: Deb, print_figure: PrintFigure) -> None:
    size, unpacked = deb.path.stat().st_size, int(deb.field("Installed-Size")) * 1024
    print_figure(f"{deb.path.name}: {size / 1e6:.1f} MB, installed {unpacked / 1e6:.1f} MB")
    assert size <= MAX_DEB
    assert unpacked <= MAX_INSTALLED


def test_lintian_has_nothing_to_say(deb: Deb, print_figure: PrintFigure) -> None:
    if shutil.which("lintian") is None:
        not_here("what lintian says", "there is no lintian: apt install lintian")
    done = subprocess.run(
        ["lintian", "--tag-display-limit=0", deb.path], capture_output=True, text=True, check=False, timeout=600
    )
    tags = re.findall(r"^[EW]: .*$", done.stdout, re.MULTILINE)
    print_figure(f"lintian: {sum(tag[0] == 'E' for tag in tags)} errors, {sum(tag[0] == 'W' for tag in tags)} warnings")
    assert tags == []
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault_in_the_units(installed: Appliance, unit: str) -> None:
    done = installed.machine.run("systemd-analyze", "verify", unit.replace("@.", "@test."))
    assert done.stdout + done.stderr == ""


def documented_command(text: str) -> str:
    """The one that a drop-in's first lines say puts it in place."""
    lines = re.findall(r"^#   (.*)$", text, re.MULTILINE)
    assert lines[0].startswith("sudo install")
    return "\n".join(lines)


def exposure(installed: Appliance, unit: str = UNIT) -> float:
    text = installed.machine.output("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    return float(EXPOSURE.findall(text)[0])


def test_the_service_is_exposed_little(installed: Appliance, release: str, print_figure: PrintFigure) -> None:
    base = exposure(installed)
    file = "/usr/share/camiohookd/accelerator.conf"
    installed.machine.run("sh", "-euc", documented_command(installed.machine.path(file).read_text()))
    with_accelerator = exposure(installed)
    service = installed.service
    installed.drop_in("accelerator", None)
    installed.restart()
    assert (service["ActiveState"], service["PrivateDevices"]) == ("active", "no")
    print_figure(f"{RELEASES[release]}: exposure {base}, with accelerator.conf {with_accelerator}")
    assert base <= 1.2
    assert base < with_accelerator <= 1.6
