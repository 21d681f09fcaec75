"""Follow docs/backup-and-move.md word for word: two boxes, and an owner at their terminals."""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest

from camiohookd.queue.state_folder import StateFolder
from camiohookd.system.disk import Disk
from tests.support.backups import KEYS, SETTINGS, BoxFolders, fresh_box, make_box
from tests.support.checkout import ROOT
from tests.support.queue_factory import accept, make_event, open_queue
from tests.support.terminal import Terminal

PAGE = (ROOT / "docs/backup-and-move.md").read_text()
PASSPHRASE = "a passphrase of the owner"


def typed(section: str) -> list[list[str]]:
    """Return the commands of each block in a section."""
    text = re.split(r"^## ", PAGE.partition(f"## {section}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^ *```\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


class Owner:
    """An owner at the terminal of one box. In place of the service, an open state folder locks the queue."""

    def __init__(self, box: BoxFolders) -> None:
        self._box = box
        self._service: StateFolder | None = None

    def start_service(self) -> None:
        self._service = StateFolder(self._box.state, Disk())

    def stop_service(self) -> None:
        assert self._service is not None
        self._service.close()

    def types(self, command: str) -> str:
        program, *arguments = shlex.split(command.removeprefix("sudo "))
        if program == "systemctl":
            assert arguments[-1] == "camiohookd"
            (self.start_service if arguments[0] == "start" else self.stop_service)()
            return ""
        assert program == "camiohookd", command
        arguments = [str(self._box.top / each) if each == "box.backup" else each for each in arguments]
        environ = {name: value for name, value in os.environ.items() if not name.startswith("CAMIO")}
        environ |= {"CONFIGURATION_DIRECTORY": str(self._box.settings), "STATE_DIRECTORY": str(self._box.state)}
        with Terminal(arguments, environ) as terminal:
            if arguments[0] == "backup":
                terminal.answer("Passphrase", PASSPHRASE)
                terminal.answer("Repeat for confirmation", PASSPHRASE)
            elif arguments[0] == "restore":
                terminal.answer("Passphrase", PASSPHRASE)
                if "--dry-run" not in arguments:
                    terminal.answer("Restore this?", "y")
            assert terminal.end() == 0, terminal.shown
        return terminal.shown


def test_the_queue_the_settings_and_the_keys_are_on_the_new_box_after_the_commands_of_the_page(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("NOT TESTED: docs/backup-and-move.md, because openssl is not installed (apt install openssl)")
    old, new = make_box(tmp_path / "old"), fresh_box(tmp_path / "new")
    queue = open_queue(old.state)
    accept(queue, make_event(1))
    queue.close()
    on_old, on_new = Owner(old), Owner(new)
    on_old.start_service()
    on_new.start_service()
    (save,) = typed("Save")
    stop_and_save, restore, check = typed("Move to a new box")
    assert "6 files" in "".join(on_old.types(command) for command in save)
    for command in stop_and_save:
        on_old.types(command)
    shutil.move(old.top / "box.backup", new.top / "box.backup")
    shown = "".join(on_new.types(command) for command in restore)
    assert "replaced  settings/api-keys" in shown
    on_new.stop_service()
    listed, doctor = check
    assert "front" in on_new.types(listed)  # the camera of the event
    assert doctor == "sudo camiohookd doctor"  # has tests of its own, and needs the service
    assert (new.settings / "camiohookd.toml").read_text() == SETTINGS
    assert (new.settings / "api-keys").read_text() == KEYS
    assert KEYS.split()[1] not in shown
