"""What tests of upgrades share: versions that do not work, and the trial of a new version on a machine."""

from tests.appliance.appliance import CAMIO_PORT, UNIT, Appliance
from tests.appliance.machine import Machine, wait_until
from tests.support.threaded_simulator import FakeCamioThread

KEPT = "/var/cache/camiohookd-previous"
PIN = "/etc/apt/preferences.d/camiohookd-refused"
ROLLED_BACK = "/etc/camiohookd/rolled-back"
PATIENCE = 420.0

ENDS_AT_ONCE = ("exec ", "exit 1 # ")
"""A change of "launcher" for `variant`: the program ends at once."""

SHORT_TRIAL = ("SECONDS_TO_PROVE=120", "SECONDS_TO_PROVE=20")
"""A change of "trial" for `variant`: a trial takes at most 20 seconds."""


def version(machine: Machine) -> str:
    """Return the version of the package and its state, such as "0.2.0 installed"."""
    return machine.run("dpkg-query", "--show", "--showformat=${Version} ${db:Status-Status}", "camiohookd").stdout


def journal(machine: Machine) -> str:
    """Return what trials have logged."""
    return machine.output("journalctl", "--unit=camiohookd-trial", "--no-pager")


def wait_for_trial(machine: Machine) -> None:
    """Wait until no version is on trial."""
    done = machine.path(f"{KEPT}/trial")
    wait_until(lambda: not done.exists(), lambda: f"the trial ends:\n{journal(machine)}", PATIENCE)


def assert_labels(appliance: Appliance, name: str) -> None:
    """Post an event, and check that its labels arrive."""
    active = "is-active", "--quiet", UNIT
    wait_until(lambda: appliance.machine.run("systemctl", *active, check=False).returncode == 0, appliance.log)
    with appliance.machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
        appliance.post(camio, name)
        wait_until(lambda: camio.deliveries[name], appliance.log)
        assert "cat" in appliance.labels(camio, name)
