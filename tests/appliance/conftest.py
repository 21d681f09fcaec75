"""Machines with the package installed, Debian 12 and Debian 13; tests that leave them unchanged share them.

A test without its tools is skipped with the reason; if CI is set in the environment, it fails instead.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.appliance import roots
from tests.appliance.appliance import CAMIO_PORT, Appliance
from tests.appliance.debs import Deb, built
from tests.appliance.machine import Machine
from tests.appliance.publishing import Publisher
from tests.support.threaded_simulator import FakeCamioThread

RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux", "ip": "iproute2"}


def not_here(what: str, why: str) -> None:
    """Skip the test with the reason; fail it in continuous integration, which must have every tool."""
    message = f"NOT TESTED: {what}, because {why}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def skip_unless_long(long_run: bool, what: str) -> None:
    """Skip a test that takes minutes, without ``--long``."""
    if not long_run:
        pytest.skip(f"NOT TESTED: {what}, because that takes minutes (--long)")


def skip_on_second_release(release: str, long_run: bool, what: str) -> None:
    """Skip a test on all releases but the first one, without ``--long``."""
    if release != next(iter(RELEASES)):
        skip_unless_long(long_run, f"{what} on {RELEASES[release]}")


def own_architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def deb() -> Deb:
    """Return the package for this machine's architecture."""
    found = built(own_architecture())
    if found is None:
        not_here("the package", "there is none in dist/: ./build.sh makes it")
    assert found
    return found


@pytest.fixture(scope="session")
def _can_boot() -> None:
    if os.geteuid() != 0:
        not_here("the package on a booted system", "that takes root: sudo ./build.sh test-appliance")
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            not_here("the package on a booted system", f"there is no {tool}: apt install {package}")


@pytest.fixture(scope="session", params=list(RELEASES))
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Boot = Callable[..., AbstractContextManager[Machine]]
"""``boot(release, *options for nspawn, architecture=...)``"""


@pytest.fixture(scope="session")
def boot(tmp_path_factory: pytest.TempPathFactory, _can_boot: None) -> Boot:
    """Boot a machine of a release; the context manager powers it off and discards its changes."""

    @contextmanager
    def booted(release: str, *options: str, architecture: str = "") -> Iterator[Machine]:
        folder = tmp_path_factory.mktemp("machines") / "layer"
        with (
            roots.layer(release, architecture or own_architecture(), folder) as root,
            Machine(root, *options) as machine,
        ):
            yield machine

    return booted


@pytest.fixture(scope="session")
def installed(release: str, boot: Boot, deb: Deb) -> Iterator[Appliance]:
    """Yield the installed package. A test must leave it running with an empty queue."""
    with boot(release) as machine:
        appliance = Appliance(machine)
        appliance.set_up(deb.path)
        yield appliance


@pytest.fixture
def publisher(tmp_path: Path, long_run: bool) -> Iterator[Publisher]:
    """Yield a publisher with an empty repository."""
    skip_unless_long(long_run, "updates from a repository, and the example for cloud-init, on booted machines")
    for program, package in {"apt-ftparchive": "apt-utils", "gpg": "gpg"}.items():
        if shutil.which(program) is None:
            not_here("the repository on a booted system", f"there is no {program}: apt install {package}")
    with TemporaryDirectory(prefix="gpg", dir="/tmp") as home:  # tmp_path is too long for the path of gpg's socket
        yield Publisher(tmp_path, Path(home))
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": home}, check=False)


@pytest.fixture
def camio(installed: Appliance) -> Iterator[FakeCamioThread]:
    """Run a fake Camio in the appliance's network. The test's own sockets open there, too."""
    with installed.machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
        yield camio
