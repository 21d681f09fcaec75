"""Run debian/tests as Debian does: autopkgtest on this host installs and tests the package on a booted machine.

It reaches the machine by ssh, over the loopback of the machine's own network.
"""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.appliance.conftest import RELEASES, Boot, not_here
from tests.appliance.debs import Deb
from tests.appliance.machine import Machine
from tests.support.checkout import ROOT

PATIENCE = 600.0
PrintFigure = Callable[[str], None]


def source_tree(folder: Path) -> Path:
    """Make the part of a source tree that autopkgtest reads, as it is after a build."""
    debian = folder / "debian"
    debian.mkdir(parents=True)
    for name in ("changelog", "control"):
        shutil.copy(ROOT / "debian" / name, debian)
    shutil.copytree(ROOT / "debian/tests", debian / "tests")
    (debian / "files").touch()  # marks the tree as built
    return folder


def let_in(machine: Machine, key: Path) -> None:
    """Make the key `key`, and let its holder log in to the machine as root."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    machine.write("/root/.ssh/authorized_keys", key.with_suffix(".pub").read_text(), 0o600)


def test_the_packages_own_tests_pass(
    release: str, boot: Boot, deb: Deb, tmp_path: Path, print_figure: PrintFigure
) -> None:
    for tool, package in {"autopkgtest": "autopkgtest", "ssh-keygen": "openssh-client"}.items():
        if shutil.which(tool) is None:
            not_here("debian/tests by autopkgtest", f"there is no {tool}: apt install {package}")
    tree, key = source_tree(tmp_path / "tree"), tmp_path / "key"
    with boot(release) as machine:
        let_in(machine, key)
        within = ["nsenter", f"--target={machine.leader}", "--net"]
        there = ["ssh", "--hostname=127.0.0.1", "--login=root", f"--identity={key}", "--capability=isolation-container"]
        done = subprocess.run(
            [*within, "autopkgtest", "--no-built-binaries", deb.path, f"{tree}/", "--", *there],
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    said = done.stdout + done.stderr
    # autopkgtest exits with 2 if a test was skipped, and with 8 if there was none.
    assert done.returncode == 0, said[-5000:]
    passed = [line.split()[0] for line in done.stdout.splitlines() if line.split()[1:] == ["PASS"]]
    assert "labels" in passed, said[-5000:]
    print_figure(f"autopkgtest: {RELEASES[release]}: {len(passed)} passed")
