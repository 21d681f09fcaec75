"""Upgrade from an older package while events arrive; a downgrade that would lose events is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from camiohookd.camio.simulator.fake_camio import ReceivedReply, ScriptedResponse
from tests.appliance.appliance import CAMIO_PORT, FOR_TESTS, PYTHON, SETTINGS, STATE, UNIT, Appliance
from tests.appliance.conftest import Boot
from tests.appliance.debs import Deb, older
from tests.appliance.machine import PATIENCE, wait_until
from tests.faults.test_kills import Load
from tests.support.threaded_simulator import FakeCamioThread

CONFFILE_AS_IT_IS = "-o Dpkg::Options::=--force-confold"
"""The option that unattended upgrades use if both the owner and the package changed a file."""

BACK_IN_TIME = f"""[Service]
ExecStopPost=+/bin/sh -c 'test -e /root/done || {{ {PYTHON} /root/old_state.py {STATE} && touch /root/done; }}'
"""
EDITED = f"# The owner's own comment.\n{FOR_TESTS}"


class StrictLoad(Load):
    """Record refused and failed posts, too."""

    def __init__(self, camio: FakeCamioThread, url: str) -> None:
        super().__init__(camio, url)
        self.failures: list[str] = []

    def _post(self, name: str, body: bytes) -> bool:
        try:
            answer = self._camio.post(self._url, body, timeout=PATIENCE)
        except OSError as error:
            self.failures.append(str(error))
            return False
        if answer.status == 200:
            self.accepted.add(name)
        else:
            self.failures.append(f"{answer.status} {answer.body!r}")
        return answer.status == 200


@pytest.fixture(scope="session")
def older_deb(deb: Deb, tmp_path_factory: pytest.TempPathFactory) -> Deb:
    return older(deb, tmp_path_factory.mktemp("older"))


@pytest.fixture
def old(release: str, boot: Boot, older_deb: Deb) -> Iterator[Appliance]:
    """Yield a machine with the older package and edited settings."""
    with boot(release) as machine:
        appliance = Appliance(machine)
        appliance.install(older_deb.path)
        machine.path(SETTINGS).write_text(EDITED)
        appliance.restart()
        yield appliance


def test_an_upgrade_under_load_refuses_no_event_and_keeps_the_state(
    old: Appliance, deb: Deb, release: str, print_figure: Callable[[str], None]
) -> None:
    old.machine.write("/root/old_state.py", Path(__file__).with_name("old_state.py").read_text())
    old.drop_in("tests", BACK_IN_TIME)
    with old.machine.network(), FakeCamioThread(lambda event_id, nth: ScriptedResponse(503), CAMIO_PORT) as camio:
        old.post(camio, "before")
        assert old.pending() == 1
        key, before = old.key, old.pid
        load = StrictLoad(camio, old.url)
        with load:
            wait_until(lambda: len(load.accepted) >= 5, "events are accepted by the old version")
            old.install(deb.path, CONFFILE_AS_IT_IS)
            by_then = len(load.accepted)
            wait_until(lambda: len(load.accepted) >= by_then + 5, "events are accepted by the new version")
        camio.answer_with(lambda event_id, nth: ScriptedResponse())
        expected = {*load.accepted, "before"}
        camio.wait_until(lambda arrived: all(accepted(arrived[name]) for name in expected), PATIENCE)
    assert load.failures == []
    assert (old.key, old.machine.path(SETTINGS).read_text()) == (key, EDITED)
    assert old.pid != before
    assert old.service["NRestarts"] == "0"
    assert f"migrated {STATE}/queue.json with" in old.log()
    assert old.machine.output("dpkg-query", "--show", "--showformat=${Version}", "camiohookd") == deb.field("Version")
    print_figure(f"{release}: upgraded under load: {len(load.accepted)} events accepted, 0 connections failed, 0 lost")


def accepted(deliveries: list[ReceivedReply]) -> bool:
    return any(each.accepted for each in deliveries)


def test_never_changes_the_state_of_a_newer_version_and_logs_what_to_do(installed: Appliance) -> None:
    installed.machine.run("systemctl", "stop", UNIT)
    state = installed.machine.path(STATE)
    (state / "format").write_text("99\n")
    before = contents(state)
    started = installed.machine.run("systemctl", "start", UNIT, check=False)
    service, after = installed.service, contents(state)
    (state / "format").write_text("3\n")
    installed.machine.run("systemctl", "start", UNIT)
    assert started.returncode != 0
    assert (service["ActiveState"], service["ExecMainStatus"], service["NRestarts"]) == ("failed", "78", "0")
    assert "written by a newer camiohookd" in installed.log()
    assert "Install that newer version again" in installed.log()
    assert after == before


def contents(folder: Path) -> dict[str, bytes]:
    """Return the contents of the folder's files, without the lock, which names its last holder."""
    files = (file for file in folder.rglob("*") if file.is_file() and file.name != "lock")
    return {str(file): file.read_bytes() for file in files}
