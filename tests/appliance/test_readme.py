"""The README's way to a box that works, followed to the letter on a fresh machine by its owner, who may use sudo."""

import re
import shutil
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path

from tests.appliance.appliance import HOOK, UNIT, Appliance
from tests.appliance.conftest import Boot, own_architecture
from tests.appliance.debs import Deb
from tests.appliance.machine import Machine
from tests.integration.test_readme import CamiosApi

README = Path(__file__).parents[2] / "README.md"
TOKEN = "token-of-the-owner"


def section(title: str) -> str:
    return re.split(r"^## ", README.read_text().partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def typed_on_the_box() -> list[str]:
    """What stands in the blocks of the section that are not the checkout's, then the two ways to be rid of it."""
    text = section("Install")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    commands = "".join(block for language, block in blocks if not language).splitlines()
    return commands + re.findall(r"`(sudo apt (?:remove|purge) camiohookd)`", text)


class Owner:
    """Sits at a terminal in the home folder, where the package lies."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.run("useradd", "--create-home", "--groups", "sudo", "owner")
        machine.write("/etc/sudoers.d/owner", "owner ALL=(ALL) NOPASSWD: ALL\n", 0o440)

    def bring(self, deb: Deb) -> None:
        shutil.copy(deb.path, self._machine.path("/home/owner"))

    def types(self, command: str, then: str = "") -> str:
        """What stands on the screen at the end; `then` is typed when the command asks."""
        script = f"cd && script --quiet --return --command {quoted(command)} /dev/null"
        return self._machine.run("su", "owner", "--command", script, stdin=then).stdout


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def test_the_readmes_commands_make_a_box_that_works_and_take_it_away_again(release: str, boot: Boot, deb: Deb) -> None:
    install, create, remove, purge = typed_on_the_box()
    install = re.sub(r"camiohookd_\S+_(amd64|arm64)\.deb", deb.path.name, install)
    assert own_architecture() in install
    with boot(release) as machine:
        appliance, owner = Appliance(machine), Owner(machine)
        owner.bring(deb)
        said = owner.types(install)
        key = appliance.key
        assert "sudo camiohookd hooks create --public-url" in said
        assert key not in said
        with machine.network():
            assert appliance.status(f"{HOOK}/tasks/") == 200
            CamiosApi.received = []
            with ThreadingHTTPServer(("127.0.0.1", 0), CamiosApi) as camio:
                threading.Thread(target=camio.serve_forever).start()
                # The one thing that cannot be had here is Camio's own API.
                owner.types(f"{create} --api http://127.0.0.1:{camio.server_port}", then=f"{TOKEN}\n")
                camio.shutdown()
        (hook,) = CamiosApi.received
        assert hook["callback_url"] == f"https://hook.example.org/tasks/{key}"
        owner.types(remove, then="y\n")
        assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() != "active"
        assert appliance.key == key
        owner.types(purge, then="y\n")
        assert not machine.path("/etc/camiohookd").exists()
