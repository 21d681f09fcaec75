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
        self._lists = self.repository / "dists/stable"
        self._dist = folder / "dist"
        self._dist.mkdir()
        self._environ = {**os.environ, "GNUPGHOME": str(home), "CAMIOHOOKD_DIST": str(self._dist)}
        self._gpg("--quick-gen-key", "publisher", "ed25519", "sign", "never")

    def publish(self, deb: Deb) -> None:
        name = f"camiohookd_{deb.field('Version')}_{deb.field('Architecture')}.deb"
        shutil.copy(deb.path, self._dist / name)
        command = [str(ROOT / "build.sh"), "repository", "--key", "publisher", "--into", str(self.repository)]
        subprocess.run([*command, "--url", ADDRESS], env=self._environ, check=True, capture_output=True)

    def expire(self) -> None:
        """Sign lists that were valid until years ago."""
        lists = self._lists / "Release"
        lists.write_text(f"{lists.read_text()}Valid-Until: Wed, 01 Jan 2020 00:00:00 UTC\n")
        self._sign("--local-user", "publisher")

    def sign_years_ago(self, owner: str, *options: str, key_expires: str = "never") -> bytes:
        """Sign the lists with a key that is made for it, as of January 2020; return the key of `owner`."""
        past = ("--faked-system-time", "20200101T000000!")
        self._gpg(*past, "--quick-gen-key", owner, "ed25519", "sign", key_expires)
        self._sign(*past, *options, "--local-user", owner)
        return self._gpg("--armor", "--export", owner)

    def _sign(self, *options: str) -> None:
        command = ("--yes", *options, "--output", str(self._lists / "InRelease"), "--clearsign")
        self._gpg(*command, str(self._lists / "Release"))

    def _gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--batch", "--passphrase", "", "--pinentry-mode", "loopback", *arguments]
        return subprocess.run(command, env=self._environ, check=True, capture_output=True).stdout


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
