"""``sudo camiohookd check`` runs as the service would: as its user, in its sandbox, with its drop-ins."""

from collections.abc import Iterator

import pytest

from tests.appliance.appliance import HOOK, KEYS, STATE, Appliance, documented_command

SCRIPT = "/etc/camiohookd/labeler.py"
OWN_CODE = f"[labeler]\nkind = 'python'\nscript = '{SCRIPT}'\n"
CODE = "def compute_labels(images):\n    return []\n"


@pytest.fixture
def box(installed: Appliance) -> Iterator[Appliance]:
    yield installed
    installed.configure()
    installed.restart()


def check(box: Appliance) -> tuple[int, str]:
    done = box.machine.run("camiohookd", "check", check=False)
    return done.returncode, done.stdout + done.stderr


def test_says_ok_beside_the_running_service_and_does_not_disturb_it(box: Appliance) -> None:
    pid = box.pid
    status, said = check(box)
    assert (status, said.splitlines()[-1]) == (0, "ok"), said
    assert "warning: events are received by plain http on 0.0.0.0:8000" in said
    assert box.pid == pid
    box.machine.run("camiohookd", "queue", "list")  # check uses the control socket in the runtime folder
    assert "camiohookd-once" not in box.machine.output("systemctl", "list-units", "--all", "--no-legend")


def test_refuses_code_and_keys_that_only_root_can_read(box: Appliance) -> None:
    box.machine.write(SCRIPT, CODE, 0o600)
    box.configure(OWN_CODE)
    status, said = check(box)
    assert status == 78
    assert f"{SCRIPT}: cannot be read: Permission denied; the service runs as the user camiohookd" in said
    box.machine.path(SCRIPT).chmod(0o644)
    assert check(box)[0] == 0
    box.machine.run("chown", "root:root", KEYS)
    status, said = check(box)
    box.machine.run("chown", "root:camiohookd", KEYS)
    assert status == 78
    assert f"sudo chgrp camiohookd {KEYS}" in said


def test_refuses_code_that_the_sandbox_hides(box: Appliance) -> None:
    box.machine.write("/home/owner/labeler.py", CODE)
    box.configure(OWN_CODE.replace(SCRIPT, "/home/owner/labeler.py"))
    status, said = check(box)
    assert (status, "/home/owner/labeler.py: cannot be read" in said) == (78, True), said


def test_refuses_files_of_the_queue_that_root_has_left(box: Appliance) -> None:
    box.machine.write(f"{STATE}/left-by-root", "", 0o600)
    status, said = check(box)
    box.machine.path(f"{STATE}/left-by-root").unlink()
    assert (status, f"sudo chown -R camiohookd: {STATE}" in said) == (78, True), said


def test_names_the_drop_in_for_ports_under_1024_and_the_drop_in_lets_the_service_bind_them(box: Appliance) -> None:
    box.configure("[hook]\nlisten = '0.0.0.0:443'\n")
    status, said = check(box)
    assert (status, "low-ports.conf" in said) == (1, True), said
    box.machine.run("sh", "-euc", documented_command(box.machine.path("/usr/share/camiohookd/low-ports.conf")))
    assert check(box)[0] == 0
    with box.machine.network():
        assert box.status(HOOK.replace("8000", "443") + "/tasks/") == 200
    box.drop_in("low-ports", None)
