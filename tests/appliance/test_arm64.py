"""Test the cross-built package for the Raspberry Pi in an emulated arm64 root folder."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.appliance.appliance import CAMIO_PORT, HOOK, Appliance
from tests.appliance.conftest import Boot, not_here
from tests.appliance.debs import built

BINFMT = Path("/proc/sys/fs/binfmt_misc")
FORMAT = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
EMULATED = """[Service]
# qemu 7.2 shows CPU data that crashes ONNX Runtime, and has no user namespaces.
InaccessiblePaths=/sys/devices/system/cpu
PrivateUsers=no
WatchdogSec=300
TimeoutStartSec=300
"""


@pytest.fixture
def emulator(_can_boot: None, long_run: bool) -> Iterator[None]:
    """Make the kernel run arm64 programs with qemu until the end of the test."""
    if not long_run:
        pytest.skip("NOT TESTED: the package for arm64, which is for --long: it is emulated, and takes minutes")
    if not FORMAT.exists():
        not_here("the package for arm64", "there is no qemu: apt install qemu-user-static")
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    registered = BINFMT / FORMAT.stem
    ours = not registered.exists()
    if ours:
        (BINFMT / "register").write_text(FORMAT.read_text().strip())
    yield
    if ours:
        registered.write_text("-1")


@pytest.mark.usefixtures("emulator")
def test_installs_starts_and_labels_pictures_correctly(boot: Boot, print_figure: Callable[[str], None]) -> None:
    deb = built("arm64")
    if deb is None:
        not_here("the package for arm64", "there is none in dist/: ./build.sh deb --arch arm64 makes it")
        return
    with boot("bookworm", architecture="arm64") as machine:
        assert machine.output("dpkg", "--print-architecture").strip() == "arm64"
        appliance = Appliance(machine)
        appliance.drop_in("emulated", EMULATED)
        appliance.install(deb.path)
        assert appliance.at_install.service["ActiveState"] == "active", appliance.log()
        appliance.configure()
        appliance.restart()
        began = time.monotonic()
        done = machine.run("camiohookd", "simulate", "--url", HOOK, "--listen", f"127.0.0.1:{CAMIO_PORT}")
        assert "1 of 1 events came back valid" in done.stdout
        assert "cat 0." in done.stdout
        print_figure(
            f"arm64, emulated: booted in {machine.boot_seconds:.1f} s, installed in {appliance.install_seconds:.0f} s, "
            f"ready in {appliance.at_install.start_seconds:.0f} s, simulated in {time.monotonic() - began:.0f} s"
        )
