"""Publish packages in a repository with a key of its own, and serve it on a machine's loopback."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.appliance.debs import Deb
from tests.appliance.machine import Machine
from tests.support.checkout import ROOT
from tests.support.file_server import serving

PORT = 8765
ADDRESS = f"http://127.0.0.1:{PORT}"
PLACEHOLDER = "https://packages.example.org"
"""The address in the documents and examples."""


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
        name = f"camiohookd_{deb.field('Version')}_{deb.field('Architecture')}.deb"
        shutil.copy(deb.path, self._dist / name)
        command = [str(ROOT / "build.sh"), "repository", "--key", "publisher", "--into", str(self.repository)]
        subprocess.run([*command, "--url", ADDRESS], env=self._environ, check=True, capture_output=True)


@contextmanager
def served(machine: Machine, folder: Path) -> Iterator[None]:
    """Serve `folder` on the machine's loopback."""
    with ExitStack() as running:
        with machine.network():
            running.enter_context(serving(folder, PORT))
        yield


def without_other_sources(root: Path) -> None:
    """Remove apt's sources, because a machine has no other network."""
    for source in [*root.glob("etc/apt/sources.list"), *root.glob("etc/apt/sources.list.d/*")]:
        source.unlink()
