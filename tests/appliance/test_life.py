"""Reload, hang, kill and power-cycle the service: no event is lost."""

import re
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.appliance.appliance import CAMIO_PORT, HOOK, SETTINGS, UNIT, Appliance, documented_command
from tests.appliance.conftest import skip_on_second_release
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


def test_a_good_reload_takes_effect_without_a_restart(installed: Appliance, camio: FakeCamioThread) -> None:
    pid = installed.pid
    installed.configure(NOTHING)
    installed.machine.run("systemctl", "reload", UNIT)
    wait_until(lambda: "reloaded: 1 rule" in installed.log(), "the reload is in the log")
    installed.post(camio, "reloaded")
    arrives(camio, "reloaded")
    assert installed.labels(camio, "reloaded") == set()
    installed.configure()
    installed.machine.run("systemctl", "reload", UNIT)
    wait_until(lambda: "reloaded: 0 rules" in installed.log(), "the second reload is in the log")
    assert installed.pid == pid


def test_the_journal_has_the_fields_of_each_line(installed: Appliance, camio: FakeCamioThread) -> None:
    installed.post(camio, "with-fields")
    arrives(camio, "with-fields")
    unit = f"_SYSTEMD_UNIT={UNIT}"

    def steps() -> list[str]:
        return [entry["EVENT"] for entry in installed.entries(unit, "CAMERA=front") if "EVENT" in entry]

    wait_until(lambda: "delivered" in steps(), "the delivery is in the journal")
    assert {"accepted", "labelled", "delivered"} <= set(steps())
    (last,) = installed.entries(unit, "EVENT=delivered")[-1:]
    assert last["TASK"] in last["MESSAGE"]
    assert (last["LOGGER"], last["SYSLOG_IDENTIFIER"], last["PRIORITY"]) == ("camiohookd.delivery", "camiohookd", "6")
    assert last["_TRANSPORT"] == "journal"


def test_systemctl_reports_a_bad_reload_and_nothing_changes(installed: Appliance, camio: FakeCamioThread) -> None:
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
def test_restarts_a_hanging_daemon_and_loses_no_event(installed: Appliance, camio: FakeCamioThread) -> None:
    camio.answer_with(unreachable)
    installed.post(camio, "waiting")
    before = installed.pid
    installed.signal("STOP")
    installed.post(camio, "knocking")  # waits in the socket's backlog until the next process accepts it
    installed.wait_until_started_again(before)
    assert "Watchdog timeout" in installed.log()
    camio.answer_with(lambda event_id, nth: ScriptedResponse())
    arrives(camio, "waiting", "knocking")


@pytest.mark.usefixtures("watched")
def test_kills_under_load_lose_no_accepted_event(
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
def test_repeated_failures_delay_the_restart_except_by_the_owner(
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


def test_delivers_the_backlog_after_a_reboot(installed: Appliance) -> None:
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


def test_a_restart_listens_on_a_changed_address_and_closes_the_old_one(installed: Appliance) -> None:
    """systemd keeps the listening sockets over a restart."""
    installed.configure("[hook]\nlisten = '127.0.0.1:8000'\n")  # the same port, which systemd's copy still holds
    installed.restart()
    installed.configure("[hook]\nlisten = '127.0.0.1:8080'\n")
    installed.restart()
    with installed.machine.network():
        assert [installed.status(f"http://127.0.0.1:{port}/tasks/") for port in (8000, 8080)] == [0, 200]
    installed.configure()
    installed.restart()
    with installed.machine.network():
        assert [installed.status(f"http://127.0.0.1:{port}/tasks/") for port in (8000, 8080)] == [200, 0]


def test_a_bad_config_exits_with_78_once_and_a_restart_with_a_repaired_one_works(installed: Appliance) -> None:
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


def test_with_the_drop_in_for_fleets_a_stop_first_finishes_what_waits(
    installed: Appliance, camio: FakeCamioThread, release: str, long_run: bool
) -> None:
    skip_on_second_release(release, long_run, "a drained stop")
    camio.answer_with(unreachable)
    installed.post(camio, "waits-at-the-stop")
    camio.wait_until(lambda arrived: bool(arrived["waits-at-the-stop"]), PATIENCE)
    command = documented_command(installed.machine.path("/usr/share/camiohookd/fleet.conf"))
    installed.machine.run("sh", "-euc", command)
    installed.machine.run("systemctl", "stop", "--no-block", UNIT)
    wait_until(lambda: installed.status(f"{HOOK}/tasks/") == 503, "the box drains")
    camio.answer_with(lambda event_id, nth: ScriptedResponse())
    arrives(camio, "waits-at-the-stop")
    wait_until(lambda: installed.service["ActiveState"] == "inactive", "the service has stopped")
    assert installed.service["Result"] == "success"
    assert "Drained: no event waits in the queue." in installed.log()
    installed.drop_in("fleet", None)
    installed.restart()


def test_the_journal_contains_no_secret(installed: Appliance) -> None:
    """Search the whole journal, of every boot and unit, after the tests above."""
    journal = installed.machine.output("journalctl", "--output=export", "--no-pager", "--all")
    assert "camiohookd" in journal
    assert installed.key not in journal


def test_the_journal_has_one_identifier_priorities_and_short_lines(installed: Appliance) -> None:
    entries = [entry for entry in installed.entries("--unit", UNIT) if entry.get("_PID") != "1"]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"camiohookd"}
    assert {entry["PRIORITY"] for entry in entries} >= {"3", "6"}, "errors and usual lines"
    messages = [entry["MESSAGE"] for entry in entries]
    assert all(isinstance(message, str) and not message.startswith("<") for message in messages)
    assert max(map(len, messages)) < 400
