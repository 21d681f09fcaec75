"""Machines with the package in them, a Debian 12 and a Debian 13; made once for all tests that leave them as they were.

What is missing for them is said in the reason of the skip; where CI is set in the environment it is a failure instead.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.appliance import roots
from tests.appliance.appliance import CAMIO_PORT, Appliance
from tests.appliance.debs import Deb, built
from tests.appliance.machine import Machine
from tests.support.threaded_simulator import FakeCamioThread

RELEASES = {"bookworm": "Debian 12", "trixie": "Debian 13"}
TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container", "nsenter": "util-linux", "ip": "iproute2"}


def not_here(what: str, why: str) -> None:
    """Skip loudly, or fail in a continuous integration, which has to have everything."""
    message = f"NOT TESTED: {what}, because {why}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def own_architecture() -> str:
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="session")
def deb() -> Deb:
    """This architecture's package."""
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
    """Boots a machine of a release; a context manager that powers it off and forgets what was done to it."""

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
    """The package as apt leaves it; tests may use it, and leave it running with nothing in its queue."""
    with boot(release) as machine:
        appliance = Appliance(machine)
        appliance.install(deb.path)
        appliance.configure()
        appliance.restart()
        yield appliance


@pytest.fixture
def camio(installed: Appliance) -> Iterator[FakeCamioThread]:
    """Camio within the installed appliance's network; the test's own sockets are opened there, too."""
    with installed.machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
        yield camio
