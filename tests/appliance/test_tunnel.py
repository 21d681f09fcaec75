"""Test the reverse tunnel of tunnel.example, to OpenSSH's sshd on a second machine."""

import urllib.request
from collections.abc import Iterator

import pytest

from tests.appliance.appliance import Appliance
from tests.appliance.conftest import RELEASES, Boot
from tests.appliance.machine import PATIENCE, Machine, wait_until
from tests.appliance.tunnels import TUNNEL, Cable, answers, set_up
from tests.support.daemon_process import event_body
from tests.support.threaded_simulator import FakeCamioThread

CUT_SECONDS = 120.0
"""Seconds until ssh and sshd have both noticed a cut (45 s each), and ssh has tried again (every 5 s)."""


@pytest.fixture
def relay(installed: Appliance, release: str, boot: Boot) -> Iterator[Machine]:
    """Yield a host that the box may log in to, at the other end of the tunnel."""
    with boot(release) as relay:
        yield relay


@pytest.fixture
def tunnel(installed: Appliance, relay: Machine) -> Iterator[Cable]:
    """Set up the tunnel as tunnel.example says, and yield its cable."""
    box = installed.machine
    cable = Cable(box, relay)
    cable.plug_in()
    set_up(box, relay)
    yield cable
    box.run("systemctl", "disable", "--now", TUNNEL)


def comes_back_labeled(installed: Appliance, relay: Machine, camio: FakeCamioThread, name: str) -> bool:
    """Post an event to the relay's port, and return whether its labels come back."""
    request = urllib.request.Request(installed.url, event_body(camio.callback_url(name)))
    with relay.network(), urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 200
    camio.wait_until(lambda arrived: arrived[name] != [], PATIENCE)
    return "cat" in installed.labels(camio, name)


def test_a_tunnel_without_its_files_fails_at_once_and_names_the_example(installed: Appliance) -> None:
    unit = "camiohookd-tunnel@nowhere.service"
    done = installed.machine.run("systemctl", "start", unit, check=False)
    assert done.returncode != 0
    said = installed.machine.output("journalctl", "--unit", unit, "--no-pager")
    assert "Assertion failed for" in said
    assert "/usr/share/doc/camiohookd/tunnel.example" in said


def test_labels_an_event_through_the_tunnel_and_reconnects_after_a_cut(
    installed: Appliance, relay: Machine, tunnel: Cable, camio: FakeCamioThread, release: str, long_run: bool
) -> None:
    def why() -> str:
        return installed.machine.output("journalctl", "--unit", TUNNEL, "--no-pager")

    wait_until(lambda: answers(relay), lambda: f"the relay's port leads to the box:\n{why()}")
    assert comes_back_labeled(installed, relay, camio, "through")
    if release != next(iter(RELEASES)) and not long_run:
        return  # a minute of waiting; one release is enough without --long
    before = installed.machine.properties(TUNNEL)["MainPID"]
    tunnel.cut()
    assert not answers(relay)
    wait_until(lambda: installed.machine.properties(TUNNEL)["MainPID"] != before, "ssh notices", CUT_SECONDS)
    tunnel.mend()
    wait_until(lambda: answers(relay), lambda: f"the relay's port leads to the box again:\n{why()}", CUT_SECONDS)
    assert comes_back_labeled(installed, relay, camio, "again")
