"""After installation by apt: the service runs, it has a secret key, and apt's output says what to do next."""

import re
import stat
from collections.abc import Callable

from tests.appliance.appliance import ADMIN, CAMIO_PORT, HOOK, KEYS, SETTINGS, STATE, UNIT, Appliance
from tests.appliance.conftest import RELEASES
from tests.support.threaded_simulator import FakeCamioThread

START_LIMIT = 5.0
PrintFigure = Callable[[str], None]


def owner(appliance: Appliance, path: str) -> str:
    return appliance.machine.output("stat", "--format=%U:%G %a", path).strip()


def test_the_service_is_enabled_and_ready_when_apt_ends(
    installed: Appliance, release: str, print_figure: PrintFigure
) -> None:
    found = installed.at_install
    assert (found.enabled, found.service["ActiveState"], found.service["Type"]) == ("enabled", "active", "notify")
    assert re.fullmatch(
        r"0 waiting, \d+/min, cpu\. plain http, do not forward this port as it is", found.service["StatusText"]
    )
    assert [line for line in found.log if "ready: events on 0.0.0.0:8000" in line]
    print_figure(
        f"{RELEASES[release]}: booted in {installed.machine.boot_seconds:.1f} s, apt installed in "
        f"{installed.install_seconds:.1f} s, ready {found.start_seconds:.2f} s after its first start"
    )


def test_answers_when_apt_ends_after_under_five_seconds_of_cpu_time(installed: Appliance) -> None:
    """Test CPU time, because elapsed time depends on the host's load; the figure above is elapsed time."""
    assert installed.at_install.answered == 200
    assert int(installed.at_install.service["CPUUsageNSec"]) / 1e9 < START_LIMIT


def test_the_last_lines_of_apt_say_what_to_do_without_the_key(installed: Appliance) -> None:
    last = installed.apt_output.rstrip().splitlines()[-9:]
    assert any(line.strip() == "sudo camiohookd setup" for line in last), last
    assert installed.key not in installed.apt_output


def test_the_key_is_strong_and_only_root_and_the_daemon_can_read_it(installed: Appliance) -> None:
    assert re.fullmatch("[0-9a-f]{48}", installed.key)
    assert owner(installed, KEYS) == "root:camiohookd 640"


def test_the_user_is_a_system_user_without_a_login(installed: Appliance) -> None:
    entry = installed.machine.output("getent", "passwd", "camiohookd").strip().split(":")
    assert int(entry[2]) < 1000
    assert entry[6] in ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false")


def test_only_the_daemon_can_read_the_state(installed: Appliance) -> None:
    assert owner(installed, STATE) == "camiohookd:camiohookd 700"
    files = [file for file in installed.machine.path(STATE).rglob("*") if file.is_file()]
    assert files
    assert {file.name: oct(file.stat().st_mode & 0o077) for file in files} == {file.name: "0o0" for file in files}


def test_the_settings_file_lists_and_describes_every_setting(installed: Appliance) -> None:
    example = installed.machine.output("camiohookd", "example-config")
    assert installed.at_install.settings == example
    assert stat.S_IMODE(installed.machine.path(SETTINGS).stat().st_mode) & 0o002 == 0


def test_an_event_from_the_simulator_comes_back_labeled(installed: Appliance) -> None:
    done = installed.machine.run("camiohookd", "simulate", "--url", HOOK, "--listen", f"127.0.0.1:{CAMIO_PORT}")
    assert "1 of 1 events came back valid" in done.stdout
    assert "cat 0." in done.stdout


def test_the_owners_commands_work(installed: Appliance, camio: FakeCamioThread) -> None:
    assert installed.status(f"{ADMIN}/readyz") == 200
    assert installed.status(f"{HOOK}/tasks/") == 200
    installed.post(camio, "one")
    camio.wait_until(lambda arrived: arrived["one"] != [], 60)
    assert "cat" in installed.labels(camio, "one")
    assert "one" not in installed.machine.output("camiohookd", "queue", "list", "--state", "failed")
    assert owner(installed, STATE) == "camiohookd:camiohookd 700", "as root, the commands keep the folder's owner"


def test_serve_warns_root(installed: Appliance) -> None:
    """`serve` ends at once, because the service holds the port and the state folder."""
    assert installed.service["ActiveState"] == "active", UNIT
    done = installed.machine.run("camiohookd", "serve", check=False)
    assert re.search("(?i)warn.*root|root.*", done.stderr)
    assert done.returncode == 78
