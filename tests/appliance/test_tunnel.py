"""The reverse tunnel, as tunnel.example sets it up, to OpenSSH's sshd on a second machine behind a cable."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from camiohookd.simulator.threaded import FakeCamioThread
from tests.appliance.appliance import HOOK, Appliance
from tests.appliance.conftest import RELEASES, Boot
from tests.appliance.machine import PATIENCE, Machine, wait_until
from tests.running import event_body

EXAMPLE = "/usr/share/doc/camiohookd/tunnel.example"
BOX_ADDRESS, RELAY_ADDRESS = "198.51.100.2", "198.51.100.1"
TUNNEL = "camiohookd-tunnel@relay.service"
CUT_SECONDS = 120.0
"""Until ssh and sshd have both noticed: 45 s each, and ssh tries again every 5 s."""


@dataclass
class Cable:
    """Between the networks of two machines."""

    box: Machine
    relay: Machine

    def plug_in(self) -> None:
        ends = (("box", self.box, BOX_ADDRESS), ("relay", self.relay, RELAY_ADDRESS))
        _ip(self.box, "link", "add", "box", "type", "veth", "peer", "name", "relay", "netns", str(self.relay.leader))
        for interface, machine, address in ends:
            _ip(machine, "address", "add", f"{address}/24", "dev", interface)
            _ip(machine, "link", "set", interface, "up")

    def cut(self) -> None:
        _ip(self.box, "link", "set", "box", "down")

    def mend(self) -> None:
        _ip(self.box, "link", "set", "box", "up")


def _ip(machine: Machine, *words: str) -> None:
    subprocess.run(["nsenter", f"--target={machine.leader}", "--net", "ip", *words], check=True)


@pytest.fixture
def relay(installed: Appliance, release: str, boot: Boot) -> Iterator[Machine]:
    """A host that the box may log in to; the box's tunnel leads there."""
    with boot(release) as relay:
        yield relay


@pytest.fixture
def tunnel(installed: Appliance, relay: Machine) -> Iterator[Cable]:
    """The steps of tunnel.example, with the names that the owner fills in."""
    box = installed.machine
    cable = Cable(box, relay)
    cable.plug_in()
    example = box.path(EXAMPLE).read_text()
    filled_in = example.replace("NAME", "relay").replace("your.host", RELAY_ADDRESS)
    make_key, scan, authorized, *after = re.findall(r"^#      (\S.*)$", filled_in, re.MULTILINE)
    for step in (make_key, scan):
        box.run("sh", "-euc", step)
    relay.run("useradd", "--create-home", "camio")
    public = box.path("/etc/camiohookd/tunnel-relay.key.pub").read_text().strip()
    relay.write("/home/camio/.ssh/authorized_keys", re.sub(r"ssh-ed25519 .*", public, authorized) + "\n")
    relay.run("chown", "--recursive", "camio:", "/home/camio/.ssh")
    for step in after:
        if "ClientAlive" in step:
            file = relay.path("/etc/ssh/sshd_config.d/camiohookd.conf")
            file.write_text((file.read_text() if file.exists() else "") + step + "\n")
    relay.run("systemctl", "restart", "ssh")
    box.write("/etc/camiohookd/tunnel-relay", filled_in)
    box.run("systemctl", "enable", "--now", TUNNEL)
    yield cable
    box.run("systemctl", "disable", "--now", TUNNEL)


def answers(machine: Machine) -> bool:
    """Whether the daemon answers on a machine's own port 8000."""
    done = machine.run("curl", "--silent", "--fail", "--max-time", "10", f"{HOOK}/tasks/", check=False)
    return done.returncode == 0


def comes_back_labelled(installed: Appliance, relay: Machine, camio: FakeCamioThread, name: str) -> bool:
    """Of an event that is posted to the relay's port."""
    request = urllib.request.Request(installed.url, event_body(camio.callback_url(name)))
    with relay.network(), urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        assert answer.status == 200
    camio.wait_until(lambda arrived: arrived[name] != [], PATIENCE)
    return "cat" in installed.labels(camio, name)


def test_an_event_through_the_tunnel_comes_back_labelled_and_a_cut_link_is_mended(
    installed: Appliance, relay: Machine, tunnel: Cable, camio: FakeCamioThread, release: str, long_run: bool
) -> None:
    def why() -> str:
        return installed.machine.output("journalctl", "--unit", TUNNEL, "--no-pager")

    wait_until(lambda: answers(relay), lambda: f"the relay's port leads to the box:\n{why()}")
    assert comes_back_labelled(installed, relay, camio, "through")
    if release != next(iter(RELEASES)) and not long_run:
        return  # the same ssh waits the same minute
    before = installed.machine.properties(TUNNEL)["MainPID"]
    tunnel.cut()
    assert not answers(relay)
    wait_until(lambda: installed.machine.properties(TUNNEL)["MainPID"] != before, "ssh notices", CUT_SECONDS)
    tunnel.mend()
    wait_until(lambda: answers(relay), lambda: f"the relay's port leads to the box again:\n{why()}", CUT_SECONDS)
    assert comes_back_labelled(installed, relay, camio, "again")
