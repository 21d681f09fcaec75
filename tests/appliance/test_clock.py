"""A box without a clock of its own: it boots in 1970, the network sets its clock, and then it goes back an hour.

libfaketime (https://github.com/wolfcw/libfaketime) gives the service a wall clock of its own. The monotonic clocks stay
those of the kernel, as on a real box. The kernel's wall clock cannot be set for one machine: the machines share this
host's kernel, and time namespaces shift only the monotonic and the boot clock (time_namespaces(7)).
"""

import json
import ssl
import time
import urllib.request
from contextlib import closing
from pathlib import Path

from tests.appliance import roots
from tests.appliance.appliance import ADMIN, CAMIO_PORT, SETTINGS, Appliance
from tests.appliance.conftest import own_architecture, skip_unless_long
from tests.appliance.debs import Deb
from tests.appliance.machine import Machine, wait_until
from tests.appliance.upgrades import assert_labels
from tests.support.certificates import make_certificate
from tests.support.daemon_process import event_body
from tests.support.scripted_server import Peer, answering
from tests.support.threaded_simulator import FakeCamioThread

PACKAGES = (*roots.PACKAGES, "libfaketime")
CLOCK, CA = "/etc/clock-of-the-test", "/etc/camiohookd/ca.pem"
TLS_PORT = 9443
CALLBACKS = f"""[callback]
allow_hosts = ["http://127.0.0.1:{CAMIO_PORT}", "https://127.0.0.1:{TLS_PORT}"]
ca = "{CA}"
retry_min = "0.2s"
retry_max = "1s"
"""
HOUR = 3600
SOON_AFTER_1970 = 600.0


class Clock:
    """The wall clock of the service, in seconds since 1970; it goes on from what `set` says."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        (library,) = machine.root.glob("usr/lib/*/faketime/libfaketime.so.1")
        self.environ = (
            f"LD_PRELOAD=/{library.relative_to(machine.root)}",
            f"FAKETIME_TIMESTAMP_FILE={CLOCK}",
            *("FAKETIME_NO_CACHE=1", "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "NO_FAKE_STAT=1"),
        )

    def set(self, seconds: float) -> None:
        self._machine.write(f"{CLOCK}.new", f"{seconds - time.time():+.0f}\n")
        self._machine.path(f"{CLOCK}.new").rename(self._machine.path(CLOCK))  # the library reads it at any moment


def states(machine: Machine) -> dict[str, int]:
    """Return the number of tasks by state, without zeros."""
    with machine.network(), urllib.request.urlopen(f"{ADMIN}/metrics", timeout=30) as answer:
        lines = [line for line in answer.read().decode().splitlines() if line.startswith("camiohookd_queue_tasks{")]
    counts = {line.split('"')[1]: int(float(line.split()[-1])) for line in lines}
    return {state: count for state, count in counts.items() if count}


def accepted_in_the_last_hour(machine: Machine) -> list[int | None]:
    """Return the accepted events of each minute by the service's clock; None is a gap."""
    with machine.network(), urllib.request.urlopen(f"{ADMIN}/trends/data?span=hour", timeout=30) as answer:
        found: list[int | None] = json.load(answer)["accepted"]
    return found


def test_a_clock_that_jumps_by_fifty_years_and_back_by_an_hour_loses_and_expires_nothing(
    release: str, tmp_path: Path, _can_boot: None, deb: Deb, long_run: bool
) -> None:
    skip_unless_long(long_run, "a box that boots in 1970")
    pair = make_certificate(tmp_path, "camio")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*pair)
    with roots.layer(release, own_architecture(), tmp_path / "layer", PACKAGES) as root, Machine(root) as machine:
        box, clock = Appliance(machine), Clock(machine)
        box.install(deb.path)
        machine.write(CA, pair.cert.read_text())
        machine.path(SETTINGS).write_text(CALLBACKS)
        clock.set(SOON_AFTER_1970)
        box.drop_in("clock", "[Service]\n" + "".join(f"Environment={each}\n" for each in clock.environ))
        box.restart()

        assert_labels(box, "in-1970")
        with machine.network(), closing(Peer(answering(200), tls, at=("127.0.0.1", TLS_PORT))) as peer:
            request = urllib.request.Request(box.url, event_body(peer.url))
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 200
            said = "certificate is not yet valid; is this machine's clock right?"
            wait_until(lambda: said in box.log(), box.log)
            assert peer.requests == []
        assert states(machine) == {"done": 1, "labelled": 1}

        told = machine.run("env", *clock.environ, "camiohookd", "doctor", check=False)  # it sends an event of its own
        assert "it says 1970-01-01 00:" in told.stdout, told.stdout + told.stderr
        clock.set(SOON_AFTER_1970)
        machine.reboot()  # still without an answer by NTP
        wait_until(lambda: box.service["ActiveState"] == "active", box.log)
        assert states(machine) == {"done": 2, "labelled": 1}

        with machine.network(), closing(Peer(answering(200), tls, at=("127.0.0.1", TLS_PORT))) as peer:
            clock.set(time.time())  # the answer
            wait_until(lambda: peer.requests, box.log)
        assert_labels(box, "today")
        wait_until(lambda: states(machine) == {"done": 4}, lambda: str(states(machine)))
        before, now = accepted_in_the_last_hour(machine)[:-5], accepted_in_the_last_hour(machine)[-5:]
        assert set(before) == {None}
        assert sum(filter(None, now)) == 1

        clock.set(time.time() - HOUR)
        assert_labels(box, "an-hour-ago")
        wait_until(lambda: states(machine) == {"done": 5}, lambda: str(states(machine)))
        box.restart()
        assert states(machine) == {"done": 5}
        clock.set(time.time())
        with machine.network(), FakeCamioThread(port=CAMIO_PORT) as camio:
            box.post(camio, "in-1970")  # remembered, so it is not labeled again
        assert states(machine) == {"done": 5}
        assert None in accepted_in_the_last_hour(machine)
        assert "expired" not in box.log()
        assert box.service["NRestarts"] == "0", box.log()
