"""Test the cross-built package for the Raspberry Pi in an emulated arm64 root folder."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.appliance.appliance import CAMIO_PORT, HOOK, SETTINGS, UNIT, Appliance
from tests.appliance.conftest import Boot, not_here, own_architecture
from tests.appliance.debs import Deb, built
from tests.appliance.machine import wait_until
from tests.appliance.upgrades import assert_delivered, post_while_camio_is_down
from tests.support.checkout import ROOT
from tests.support.threaded_simulator import FakeCamioThread

BINFMT = Path("/proc/sys/fs/binfmt_misc")
FORMAT = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
FAST_PATHS = Path(__file__).with_name("fast_paths.py")
PYTHON = "/usr/lib/camiohookd/bin/python3.11"
PASSPHRASE = "a passphrase of the owner"
EMULATED = """[Service]
# qemu 7.2 shows CPU data that crashes ONNX Runtime, and has no user namespaces.
InaccessiblePaths=/sys/devices/system/cpu
PrivateUsers=no
WatchdogSec=300
TimeoutStartSec=300
"""


@pytest.fixture(scope="module")
def emulator(_can_boot: None, long_run: bool) -> Iterator[None]:
    """Make the kernel run arm64 programs with qemu until the end of the test."""
    if not long_run:
        pytest.skip("NOT TESTED: the package for arm64, which is for --long: it is emulated, and takes minutes")
    if not FORMAT.exists():
        not_here("the package for arm64", "there is no qemu: apt install qemu-user-static")
    if shutil.which("arch-test") is None:
        not_here("the package for arm64", "mmdebstrap needs arch-test for it: apt install arch-test")
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT], check=True)
    registered = BINFMT / FORMAT.stem
    ours = not registered.exists()
    if ours:
        (BINFMT / "register").write_text(FORMAT.read_text().strip())
    yield
    if ours:
        registered.write_text("-1")


@pytest.fixture(scope="module")
def pi(emulator: None, boot: Boot) -> Iterator[Appliance]:
    """Yield a machine for arm64 with the package."""
    deb = built("arm64")
    if deb is None:
        not_here("the package for arm64", "there is none in dist/: ./build.sh deb --arch arm64 makes it")
    assert deb
    with boot("bookworm", architecture="arm64") as machine:
        assert machine.output("dpkg", "--print-architecture").strip() == "arm64"
        appliance = Appliance(machine)
        appliance.drop_in("emulated", EMULATED)
        appliance.install(deb.path)
        assert appliance.at_install.service["ActiveState"] == "active", appliance.log()
        appliance.configure()
        appliance.restart()
        yield appliance


def test_starts_and_labels_pictures_correctly(pi: Appliance, print_figure: Callable[[str], None]) -> None:
    began = time.monotonic()
    done = pi.machine.run("camiohookd", "simulate", "--url", HOOK, "--listen", f"127.0.0.1:{CAMIO_PORT}")
    assert "1 of 1 events came back valid" in done.stdout
    assert "cat 0." in done.stdout
    print_figure(
        f"arm64, emulated: booted in {pi.machine.boot_seconds:.1f} s, installed in {pi.install_seconds:.0f} s, "
        f"ready in {pi.at_install.start_seconds:.0f} s, simulated in {time.monotonic() - began:.0f} s"
    )


def test_what_is_written_for_speed_computes_what_it_computes_here(pi: Appliance, tmp_path: Path) -> None:
    """Checksums are equal; colors and probabilities may differ by rounding."""
    pi.machine.write("/root/fast_paths.py", FAST_PATHS.read_text())
    python = ("systemd-run", "--pipe", "--wait", "--quiet", "-p", "InaccessiblePaths=/sys/devices/system/cpu", PYTHON)
    there = json.loads(pi.machine.output(*python, "-IB", "/root/fast_paths.py", "/root"))
    done = subprocess.run(
        [sys.executable, "-m", "tests.appliance.fast_paths", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    here = json.loads(done.stdout)
    assert there["takes bytes"]
    assert here["takes bytes"]
    assert there["pictures"].keys() == here["pictures"].keys()
    for name, expected in here["pictures"].items():
        found = there["pictures"][name]
        assert found["checksums"] == expected["checksums"]
        assert found["sizes"] == expected["sizes"]
        for one, other in zip(found["colors"], expected["colors"], strict=True):
            assert one == pytest.approx(other, abs=0.5), name
        assert [label for label, _ in found["labels"]] == [label for label, _ in expected["labels"]], name
        for (_, one), (_, other) in zip(found["labels"], expected["labels"], strict=True):
            assert one == pytest.approx(other, abs=0.1), name


SAMPLES = "/usr/lib/camiohookd/lib/python3.11/dist-packages/camiohookd/samples"
TEACH = (
    f"camiohookd teach pets --on cat --label ginger {SAMPLES}/chelsea.jpg --label other {SAMPLES}/coffee.jpg --anyway"
)
BACKUP = "/root/box.backup"


def test_a_backup_of_a_pc_is_restored_with_its_queue_and_its_taught_labels(pi: Appliance, boot: Boot, deb: Deb) -> None:
    if own_architecture() == "arm64":
        pytest.skip("NOT TESTED: a backup of another architecture, because this machine's own is arm64")
    with boot("bookworm") as machine:
        pc = Appliance(machine)
        pc.set_up(deb.path, "# The owner's own line.\n")
        post_while_camio_is_down(pc, "waiting")
        machine.run("sh", "-c", TEACH)
        machine.write("/root/passphrase", f"{PASSPHRASE}\n")
        machine.run("systemctl", "stop", UNIT)
        machine.run("camiohookd", "backup", BACKUP, "--queue", "--encrypt", "--passphrase-file", "/root/passphrase")
        shutil.copy(machine.path(BACKUP), pi.machine.path(BACKUP))
        key = pc.key
    pi.machine.write("/root/passphrase", f"{PASSPHRASE}\n")
    pi.machine.run("systemctl", "stop", UNIT)
    pi.machine.run("camiohookd", "restore", BACKUP, "--passphrase-file", "/root/passphrase", "--yes")
    pi.restart()
    assert pi.key == key
    assert "The owner's own line." in pi.machine.path(SETTINGS).read_text()
    assert_delivered(pi, "waiting")
    with pi.machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
        pi.post(camio, "taught")
        wait_until(lambda: camio.deliveries["taught"], pi.log)
        assert {"cat", "ginger"} <= pi.labels(camio, "taught")
