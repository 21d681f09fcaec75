"""Follow docs/install.md and the README word for word on a fresh machine, as an owner who may use sudo."""

import os
import re
import shlex
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from tests.appliance.appliance import ADMIN, HOOK, SETTINGS, UNIT, Appliance
from tests.appliance.conftest import Boot, own_architecture
from tests.appliance.debs import Deb
from tests.appliance.machine import PATIENCE, Machine, wait_until
from tests.integration.test_install_page import CamiosApi
from tests.support import file_server
from tests.support.checkout import ROOT
from tests.support.daemon_process import event_body

PAGE, README = ROOT / "docs/install.md", ROOT / "README.md"
TOKEN = "token-of-the-owner"
ANSWERS = ("tunnel", "https://hook.example.org", "camera == 'front'", "auto", "n", "y", "y")
"""Of setup's questions: way in, public URL, query, detail, status page, write them, register."""
QUESTION = re.compile(r"(token: |[Pp]assphrase: |confirmation: |\[[^\]\n]*\]:? ?|hook\.example\.org: )\Z")
"""What a command asks at the end of what it shows: with a default in brackets, or without one."""


def section(title: str) -> str:
    return re.split(r"^## ", PAGE.read_text().partition(f"## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def typed_on_the_box() -> list[str]:
    """Return the commands in the section's blocks for the box, then the two commands that remove the package."""
    text = section("Install it on the box")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    commands = "".join(block for language, block in blocks if not language).splitlines()
    return commands + re.findall(r"`(sudo apt (?:remove|purge) camiohookd)`", section("Remove"))


def typed_to_look() -> list[str]:
    """Return the commands of the README's table that ask the service something."""
    table = README.read_text().partition("| to see | type |")[2].partition("\n\n")[0]
    return [command for command in re.findall(r"`([^`]+)`", table) if not command.startswith("--")]


class Owner:
    """An owner at a terminal, in the home folder that holds the package."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        machine.run("useradd", "--create-home", "--groups", "sudo", "owner")
        machine.write("/etc/sudoers.d/owner", "owner ALL=(ALL) NOPASSWD: ALL\n", 0o440)

    def bring(self, deb: Deb) -> None:
        shutil.copy(deb.path, self._machine.path("/home/owner"))

    def types(self, command: str, *answers: str, status: int = 0) -> str:
        """Run a command and return the terminal's text. Type the next of `answers` whenever the command asks.

        `status` is the exit status that it must have.
        """
        left = list(answers)
        script = f"cd && exec script --quiet --return --command {shlex.quote(command)} /dev/null"
        shown = ""
        with subprocess.Popen(
            [*self._machine.enter(), "su", "owner", "--command", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdin
            assert process.stdout
            impatience = threading.Timer(PATIENCE, process.kill)
            impatience.start()
            while chunk := os.read(process.stdout.fileno(), 4096):
                shown += chunk.decode(errors="replace")
                if left and QUESTION.search(shown):
                    process.stdin.write(f"{left.pop(0)}\n".encode())
                    process.stdin.flush()
                    shown += "\n"  # so that the question is not taken for another one
            process.wait()
            impatience.cancel()
        assert process.returncode == status, f"{command}: {process.returncode}\n{shown}"
        return shown


@contextmanager
def camios_api() -> Iterator[str]:
    """Run a fake of Camio's API and yield its URL. `CamiosApi.received` collects what it gets."""
    CamiosApi.received = []
    with file_server.running(CamiosApi) as url:
        yield url


def event_is_on_the_page(appliance: Appliance) -> None:
    """Post an event as Camio does, and wait for its label and its picture on the status page."""
    # Nothing outside can be reached from the machine, so the labels stay on their way.
    body = event_body("https://camio.com/api/jobs/1/labels", camera="front")
    with urllib.request.urlopen(urllib.request.Request(appliance.url, body), timeout=60) as answer:
        assert answer.status == 200

    def shown() -> str:
        with urllib.request.urlopen(f"{ADMIN}/events", timeout=30) as page:
            return str(page.read().decode())

    wait_until(lambda: re.search(r"\bcat 0\.\d\d", shown()), "the label is on the page")
    wait_until(lambda: "/pictures/0.jpg" in shown(), "the picture is on the page")
    picture = re.findall(r"/events/\d+/pictures/0\.jpg", shown())[0]
    with urllib.request.urlopen(f"{ADMIN}{picture}", timeout=30) as answer:
        assert answer.read(2) == b"\xff\xd8"


def test_following_the_pages_installs_uses_and_removes_a_working_box(release: str, boot: Boot, deb: Deb) -> None:
    install, setup, remove, purge = typed_on_the_box()
    install = re.sub(r"camiohookd_\S+_(amd64|arm64)\.deb", deb.path.name, install)
    assert own_architecture() in install
    with boot(release) as machine:
        appliance, owner = Appliance(machine), Owner(machine)
        owner.bring(deb)
        said = owner.types(install)
        key = appliance.key
        assert "sudo camiohookd setup" in said
        assert key not in said
        with machine.network():
            assert appliance.status(f"{HOOK}/tasks/") == 200
            # Only Camio's own API has to be replaced here.
            with camios_api() as api:
                shown = owner.types(f"{setup} --api {api}", *ANSWERS, TOKEN, status=1)
        assert "Restarted the service" in shown, shown
        assert "✗ callback host camio.com" in shown  # nothing outside can be reached from the machine
        assert 'listen = "127.0.0.1:8000"' in machine.path(SETTINGS).read_text()
        assert key not in shown
        assert TOKEN not in shown
        (hook,) = CamiosApi.received
        assert hook["callback_url"] == f"https://hook.example.org/tasks/{key}"
        with machine.network():
            event_is_on_the_page(appliance)
        looks = typed_to_look()
        assert "sudo camiohookd status" in looks
        seen = {command: owner.types(command.replace("queue show ID", "queue show 1")) for command in looks}
        assert (
            "cat 0." in seen["journalctl -u camiohookd"]
            or "Hint: You are currently not" in seen["journalctl -u camiohookd"]
        )
        assert "front" in seen["sudo camiohookd queue list"]
        owner.types(remove, "y")
        assert machine.run("systemctl", "is-active", UNIT, check=False).stdout.strip() != "active"
        assert appliance.key == key
        owner.types(purge, "y")
        assert not machine.path("/etc/camiohookd").exists()
