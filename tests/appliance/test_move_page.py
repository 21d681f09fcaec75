"""Follow docs/backup-and-move.md word for word, from a booted machine to another one with the next Debian."""

import shutil

from tests.appliance.appliance import SETTINGS, Appliance
from tests.appliance.conftest import Boot, skip_unless_long
from tests.appliance.debs import Deb
from tests.appliance.test_install_page import Owner
from tests.appliance.upgrades import assert_delivered, post_while_camio_is_down
from tests.integration.test_move_page import PASSPHRASE, typed

BACKUP = "/home/owner/box.backup"


def test_the_new_box_delivers_what_waited_on_the_old_one_after_the_commands_of_the_page(
    boot: Boot, deb: Deb, long_run: bool
) -> None:
    skip_unless_long(long_run, "the move to a new box on booted machines")
    stop_and_save, restore, (listed, doctor) = typed("Move to a new box")
    assert doctor == "sudo camiohookd doctor"
    with boot("bookworm") as old_machine, boot("trixie") as new_machine:
        old, new = Appliance(old_machine), Appliance(new_machine)
        for box in (old, new):
            box.install(deb.path)
        old.configure("# The owner's own line.\n")
        old.restart()
        post_while_camio_is_down(old, "waiting")

        on_old, on_new = Owner(old_machine), Owner(new_machine)
        for command in stop_and_save:
            on_old.types(command, PASSPHRASE, PASSPHRASE)
        backup = old_machine.path(BACKUP)
        assert backup.stat().st_mode & 0o777 == 0o600
        assert old.key.encode() not in backup.read_bytes()
        shutil.copy(backup, new_machine.path(BACKUP))
        shown = "".join(on_new.types(command, PASSPHRASE, "y") for command in restore)
        assert "settings/api-keys" in shown
        assert old.key not in shown
        assert "front" in on_new.types(listed)
        new_machine.run("camiohookd", "doctor", "--event")

        assert new.key == old.key
        assert new_machine.path(SETTINGS).read_text() == old_machine.path(SETTINGS).read_text()
        assert_delivered(new, "waiting")
