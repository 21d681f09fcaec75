"""Build the package on a fresh Debian 12 and 13, as a user who may run apt-get as root and nothing else."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.appliance.conftest import RELEASES, own_architecture
from tests.appliance.debs import Deb, built
from tests.appliance.workshop import workshop

BY_DEBHELPER = re.compile(r"^# Automatically added by (\w+)/.*?^# End automatically added section$", re.DOTALL | re.M)
"""debhelper's part of the maintainer scripts, whose wording depends on the debhelper version."""


def members(deb: Deb) -> dict[str, bytes]:
    """Return the members of the ar archive that a package is, by name."""
    names = subprocess.run(["ar", "t", deb.path], capture_output=True, text=True, check=True).stdout.split()
    return {name: subprocess.run(["ar", "p", deb.path, name], capture_output=True, check=True).stdout for name in names}


def control(deb: Deb, folder: Path) -> dict[str, str]:
    """Return the control files and maintainer scripts, without debhelper's part of the scripts."""
    subprocess.run(["dpkg-deb", "--control", deb.path, folder], check=True)
    return {file.name: BY_DEBHELPER.sub(r"\1", file.read_text()) for file in folder.iterdir()}


def test_a_clean_clone_builds_the_same_package_on_each(
    _can_boot: None, long_run: bool, tmp_path: Path, print_figure: Callable[[str], None]
) -> None:
    if not long_run:
        pytest.skip("NOT TESTED: building on a fresh Debian 12 and 13, which is for --long: it takes six minutes")
    debs = {}
    for release, name in RELEASES.items():
        with workshop(release, own_architecture(), tmp_path / release) as here:
            began = time.monotonic()
            here.types("./build.sh --install-deps")
            print_figure(f"{name}: built from a clean clone in {time.monotonic() - began:.0f} s")
            assert here.types("git status --short") == ""
            shutil.copytree(here.clone / "dist", tmp_path / f"dist-{release}")
        deb = built(own_architecture(), tmp_path / f"dist-{release}")
        assert deb
        debs[release] = deb
    one, other = debs.values()
    assert members(one)["data.tar.xz"] == members(other)["data.tar.xz"], "the installed files differ"
    assert control(one, tmp_path / "one") == control(other, tmp_path / "other")
    sboms = [(tmp_path / f"dist-{release}" / f"{deb.path.stem}.cdx.json").read_bytes() for release, deb in debs.items()]
    assert sboms[0] == sboms[1]
