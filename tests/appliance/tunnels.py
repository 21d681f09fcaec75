"""Set up reverse tunnels as tunnel.example says, from the box to another machine."""

import re
import subprocess
from dataclasses import dataclass

from tests.appliance.appliance import HOOK
from tests.appliance.machine import Machine

EXAMPLE = "/usr/share/doc/camiohookd/tunnel.example"
TUNNEL = "camiohookd-tunnel@relay.service"
BOX_ADDRESS, RELAY_ADDRESS = "198.51.100.2", "198.51.100.1"


@dataclass
class Cable:
    """A virtual cable between the networks of two machines."""

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


def set_up(box: Machine, relay: Machine) -> None:
    """Carry out the steps of tunnel.example, with the owner's values filled in."""
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


def answers(machine: Machine) -> bool:
    """Return whether the daemon answers on the machine's own port 8000."""
    done = machine.run("curl", "--silent", "--fail", "--max-time", "10", f"{HOOK}/tasks/", check=False)
    return done.returncode == 0
