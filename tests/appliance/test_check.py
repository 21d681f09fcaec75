"""``sudo camiohookd check`` and ``doctor`` run as the service would: as its user, in its sandbox, with its drop-ins."""

import json
from collections.abc import Iterator

import pytest

from tests.appliance.appliance import CAMIO_PORT, HOOK, KEYS, STATE, Appliance, documented_command

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


def doctor(box: Appliance) -> tuple[int, dict[str, dict[str, str]]]:
    """Run the doctor; return its exit status, and its findings by name. Camio cannot be reached from the machine."""
    done = box.machine.run("camiohookd", "doctor", "--json", check=False)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert findings, done.stderr
    return done.returncode, {each["name"]: each for each in findings}


def test_the_doctor_examines_the_running_service_and_does_not_disturb_it(box: Appliance) -> None:
    pid = box.pid
    status, found = doctor(box)
    failed = {name for name, each in found.items() if each["outcome"] == "failed"}
    assert failed == {"Camio's API", f"callback host http://127.0.0.1:{CAMIO_PORT}"}, found
    assert status == 1
    for name in ("settings", "state folder", "free space", "golden pictures", "service", "listener", "one event"):
        assert found[name]["outcome"] == "ok", found[name]
    assert "temporary" not in found["one event"]["text"]
    assert box.pid == pid


def test_the_doctor_examines_a_stopped_service(box: Appliance) -> None:
    box.machine.run("systemctl", "stop", "camiohookd")
    _, found = doctor(box)
    box.restart()
    assert found["service"]["outcome"] == "warning"
    assert (found["one event"]["outcome"], "temporary" in found["one event"]["text"]) == ("ok", True), found[
        "one event"
    ]


def test_the_doctor_names_files_that_root_has_left(box: Appliance) -> None:
    box.machine.write(f"{STATE}/left-by-root", "", 0o600)
    _, found = doctor(box)
    box.machine.path(f"{STATE}/left-by-root").unlink()
    assert f"sudo chown -R camiohookd: {STATE}" in found["state folder"]["text"]


def test_status_tells_of_the_service_and_of_its_end(box: Appliance) -> None:
    assert "works" in box.machine.output("camiohookd", "status").splitlines()[0]
    box.machine.run("systemctl", "stop", "camiohookd")
    done = box.machine.run("camiohookd", "status", check=False)
    box.restart()
    assert (done.returncode, "not running" in done.stdout) == (3, True)
