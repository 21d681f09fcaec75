"""The service on a bad day: reloads, hangs, kills and power cycles, and no event is lost."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.appliance.appliance import CAMIO_PORT, HOOK, SETTINGS, UNIT, Appliance
from tests.appliance.machine import PATIENCE, wait_until
from tests.faults.test_kills import Load
from tests.support.threaded_simulator import FakeCamioThread

NOTHING = "[[rule]]\nlabels = ['no such thing']\n"
WATCHDOG = "[Service]\nWatchdogSec=10\n"
RESTARTS_AT_ONCE = "[Service]\nRestartSec=0.2\n"


def unreachable(event_id: str, nth: int) -> ScriptedResponse:
    return ScriptedResponse(503)


def arrives(camio: FakeCamioThread, *names: str) -> None:
    camio.wait_until(lambda arrived: all(any(each.accepted for each in arrived[name]) for name in names), PATIENCE)


def more_than(names: set[str], number: int) -> bool:
    return len(names) > number


@pytest.fixture
def watched(installed: Appliance) -> Iterator[None]:
    installed.drop_in("tests", WATCHDOG + RESTARTS_AT_ONCE)
    installed.restart()
    yield
    installed.drop_in("tests", None)
    installed.restart()


def test_a_good_reload_holds_at_once_without_a_restart(installed: Appliance, camio: FakeCamioThread) -> None:
    pid = installed.pid
    installed.configure(NOTHING)
    installed.machine.run("systemctl", "reload", UNIT)
    wait_until(lambda: "reloaded: 1 rules" in installed.log(), "the reload is in the log")
    installed.post(camio, "reloaded")
    arrives(camio, "reloaded")
    assert installed.labels(camio, "reloaded") == set()
    installed.configure()
    installed.machine.run("systemctl", "reload", UNIT)
    wait_until(lambda: "reloaded: 0 rules" in installed.log(), "the second reload is in the log")
    assert installed.pid == pid


def test_a_bad_reload_fails_where_its_caller_sees_it_and_changes_nothing(
    installed: Appliance, camio: FakeCamioThread
) -> None:
    pid = installed.pid
    installed.configure("[hook]\nlissten = '0.0.0.0:80'\n")
    done = installed.machine.run("systemctl", "reload", UNIT, check=False)
    installed.configure()
    assert done.returncode != 0
    assert re.search(rf"{SETTINGS}.*lissten", installed.log())
    assert (installed.pid, installed.service["ActiveState"]) == (pid, "active")
    installed.post(camio, "after a bad reload".replace(" ", "-"))
    arrives(camio, "after-a-bad-reload")


@pytest.mark.usefixtures("watched")
def test_a_daemon_that_stands_still_is_started_again_and_no_event_is_lost(
    installed: Appliance, camio: FakeCamioThread
) -> None:
    camio.answer_with(unreachable)
    installed.post(camio, "waiting")
    before = installed.pid
    installed.signal("STOP")
    installed.post(camio, "knocking")  # into the backlog: it is answered by the next one
    installed.wait_until_started_again(before)
    assert "Watchdog timeout" in installed.log()
    camio.answer_with(lambda event_id, nth: ScriptedResponse())
    arrives(camio, "waiting", "knocking")


@pytest.mark.usefixtures("watched")
def test_kills_under_load_lose_no_event_that_was_accepted(
    installed: Appliance, camio: FakeCamioThread, print_figure: Callable[[str], None], release: str
) -> None:
    with Load(camio, installed.url) as load:
        for _ in range(3):
            wait_until(partial(more_than, load.accepted, len(load.accepted) + 5), "events are accepted")
            before = installed.pid
            installed.signal("KILL")
            installed.wait_until_started_again(before)
    arrives(camio, *load.accepted)
    print_figure(f"{release}: kill -9 three times under load: {len(load.accepted)} events accepted, 0 lost")


@pytest.mark.usefixtures("watched")
def test_who_ends_badly_again_and_again_waits_before_it_starts_and_a_restart_by_the_owner_does_not(
    installed: Appliance,
) -> None:
    for _ in range(6):
        before = installed.pid
        installed.signal("KILL")
        installed.wait_until_started_again(before)
    assert "crashed 6 times in a row: waiting 5 s" in installed.log()
    installed.signal("KILL")
    wait_until(lambda: "crashed 7 times in a row: waiting 10 s" in installed.log(), "it waits longer")
    assert "Waiting 10 s after 7 crashes in a row" in installed.service["StatusText"]
    lines = len(installed.log().splitlines())
    installed.restart()
    assert "before this start" not in "".join(installed.log().splitlines()[lines:])


def test_what_waits_when_the_machine_reboots_is_delivered_after(installed: Appliance) -> None:
    names = [f"waiting-{number}" for number in range(5)]
    with installed.machine.network(), FakeCamioThread(unreachable, CAMIO_PORT) as camio:
        for name in names:
            installed.post(camio, name)
        assert installed.pending() == len(names)
    installed.machine.reboot()
    with installed.machine.network(), FakeCamioThread(unreachable, CAMIO_PORT) as camio:
        for name in names:
            camio.callback_url(name)
        camio.answer_with(lambda event_id, nth: ScriptedResponse())
        arrives(camio, *names)
        assert installed.status(f"{HOOK}/tasks/") == 200


def test_a_changed_address_is_listened_on_after_a_restart_and_the_old_one_is_let_go(installed: Appliance) -> None:
    """Though systemd keeps the sockets over a restart."""
    installed.configure("[hook]\nlisten = '127.0.0.1:8080'\n")
    installed.restart()
    with installed.machine.network():
        assert [installed.status(f"http://127.0.0.1:{port}/tasks/") for port in (8000, 8080)] == [0, 200]
    installed.configure()
    installed.restart()
    with installed.machine.network():
        assert [installed.status(f"http://127.0.0.1:{port}/tasks/") for port in (8000, 8080)] == [200, 0]


def test_a_bad_config_ends_with_78_once_and_a_restart_with_a_mended_one_answers(installed: Appliance) -> None:
    installed.configure("[hook]\nlisten = 'nonsense'\n")
    installed.machine.run("systemctl", "restart", UNIT, check=False)
    wait_until(lambda: installed.service["ActiveState"] == "failed", "the service has failed")
    with installed.machine.network():
        assert [installed.status(f"{HOOK}/tasks/") for _ in range(20)] == [0] * 20
    service = installed.service
    assert (service["ExecMainStatus"], service["NRestarts"], service["Result"]) == ("78", "0", "exit-code")
    assert re.search(rf"{SETTINGS}, line \d+: .*listen", installed.log())
    installed.configure()
    installed.restart()
    with installed.machine.network():
        assert installed.status(f"{HOOK}/tasks/") == 200


def test_the_journal_holds_no_secret(installed: Appliance) -> None:
    """All of it, of every boot and unit, after all of the above."""
    journal = installed.machine.output("journalctl", "--output=export", "--no-pager", "--all")
    assert "camiohookd" in journal
    assert installed.key not in journal


def test_the_units_journal_has_one_identifier_priorities_and_lines_fit_for_a_phone(installed: Appliance) -> None:
    entries = [entry for entry in installed.entries("--unit", UNIT) if entry.get("_PID") != "1"]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"camiohookd"}
    assert {entry["PRIORITY"] for entry in entries} >= {"3", "6"}, "errors, and what is usual"
    messages = [entry["MESSAGE"] for entry in entries]
    assert all(isinstance(message, str) and not message.startswith("<") for message in messages)
    assert max(map(len, messages)) < 400
