"""What tests of upgrades share: versions that do not work, and the trial of a new version on a machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from camiohookd.camio.simulator.fake_camio import ScriptedResponse
from tests.appliance.appliance import CAMIO_PORT, UNIT, Appliance
from tests.appliance.conftest import Boot
from tests.appliance.debs import Changes, Deb
from tests.appliance.machine import Machine, wait_until
from tests.support.threaded_simulator import FakeCamioThread

KEPT = "/var/cache/camiohookd-previous"
PIN = "/etc/apt/preferences.d/camiohookd-refused"
ROLLED_BACK = "/etc/camiohookd/rolled-back"
PATIENCE = 420.0

LABELS_NOTHING: Changes = {
    "launcher": ("exec ", '[ "$1" != doctor ] || exit 1; exec '),
    "trial": ("SECONDS_TO_PROVE=120", "SECONDS_TO_PROVE=20"),
}
"""The service runs, the test event is not labeled, and a trial takes at most 20 seconds."""

FAILURES: dict[str, tuple[Changes, str]] = {
    "ends at once": ({"launcher": ("exec ", "exit 1 # ")}, "its service failed and was started again 4 times"),
    "refuses its settings": ({"launcher": ("exec ", "exit 78 # ")}, "systemd does not start it again"),
    "runs and labels nothing": (LABELS_NOTHING, "it did not label an event within 20 s"),
}
"""Versions that do not work: their changes, and the reason that the trial gives."""

MIGRATES_AND_ENDS: Changes = {
    "launcher": (
        "exec ",
        '[ "$1" != serve ] || { /usr/lib/camiohookd/bin/python3.11 -I -m camiohookd queue list; exit 1; }\nexec ',
    )
}
"""Changes for a version that opens the queue at its start, and then ends."""


def version(machine: Machine) -> str:
    """Return the version of the package and its state, such as "0.2.0 installed"; dpkg must have nothing left to do."""
    assert machine.output("dpkg", "--audit") == ""
    return machine.run("dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", "camiohookd").stdout


def journal(machine: Machine) -> str:
    """Return what trials have logged."""
    return machine.output("journalctl", "--unit=camiohookd-trial", "--no-pager")


def wait_for_trial(machine: Machine) -> None:
    """Wait until no version is on trial."""
    done = machine.path(f"{KEPT}/trial")
    wait_until(lambda: not done.exists(), lambda: f"the trial ends:\n{journal(machine)}", PATIENCE)


def post_while_camio_is_down(box: Appliance, name: str) -> None:
    """Post an event whose labels Camio does not take."""
    with box.machine.network(), FakeCamioThread(lambda event_id, nth: ScriptedResponse(503), CAMIO_PORT) as camio:
        box.post(camio, name)
        wait_until(lambda: camio.deliveries[name], box.log)


@contextmanager
def box_with_a_waiting_event(boot: Boot, release: str, deb: Deb) -> Iterator[Appliance]:
    """Boot a machine with the package and with an event whose labels Camio does not take; its name is "waiting"."""
    with boot(release) as machine:
        appliance = Appliance(machine)
        appliance.set_up(deb.path)
        post_while_camio_is_down(appliance, "waiting")
        yield appliance


def assert_delivered(box: Appliance, *names: str) -> None:
    """Check that Camio, which works again, gets the labels of events that wait."""
    with box.machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
        for name in names:
            camio.callback_url(name)
        camio.wait_until(lambda arrived: all(any(each.accepted for each in arrived[name]) for name in names), PATIENCE)


def assert_labels(appliance: Appliance, name: str) -> None:
    """Post an event, and check that its labels arrive."""
    active = "is-active", "--quiet", UNIT
    wait_until(lambda: appliance.machine.run("systemctl", *active, check=False).returncode == 0, appliance.log)
    with appliance.machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
        appliance.post(camio, name)
        wait_until(lambda: camio.deliveries[name], appliance.log)
        assert "cat" in appliance.labels(camio, name)
