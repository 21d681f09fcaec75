"""The installed daemon, in a network with a default route, sends no foreign packet and leaves no file behind.

ONNX Runtime sends telemetry unless told not to. The control runs the packaged ONNX Runtime without camiohookd.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.appliance.appliance import CAMIO_PORT, PYTHON, STATE, Appliance
from tests.appliance.machine import PATIENCE
from tests.appliance.sniffer import Packet, Sniffer, default_route
from tests.support.threaded_simulator import FakeCamioThread

WATCHER = Path(__file__).parents[1] / "support/lookup_watcher.py"
OUR_PORTS = {8000, 8001, CAMIO_PORT}
OUR_FOLDERS = (STATE, "/run/camiohookd", "/var/cache/camiohookd")
CONTROL = """
import numpy, onnxruntime, sys
folder = "/usr/share/camiohookd/models/ssdlite-mobilenet-v2-coco/"
session = onnxruntime.InferenceSession(folder + "ssdlite_mobilenet_v2_coco_int8.onnx")
session.run(None, {"images": numpy.zeros((1, 3, 300, 300), "float32")})
sys.stdin.read()
"""


@contextmanager
def control(appliance: Appliance) -> Iterator[str]:
    """Run ONNX Runtime without camiohookd in a network of its own; yield the first name that it looks up."""
    machine = appliance.machine
    machine.write("/etc/resolv.conf", "nameserver 192.0.2.53\n")
    machine.write("/root/lookup_watcher.py", WATCHER.read_text())
    watched = [*machine.enter(), "unshare", "--net", "--mount", PYTHON, "/root/lookup_watcher.py"]
    with subprocess.Popen(
        [*watched, PYTHON, "-c", CONTROL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        yield process.stdout.readline()
        process.communicate()


def is_ours(packet: Packet) -> bool:
    loopback = packet.interface == "lo" and packet.protocol == "tcp"
    return loopback and not OUR_PORTS.isdisjoint(packet.ports)


def test_looks_up_no_name_sends_no_packet_and_leaves_no_file(installed: Appliance) -> None:
    machine = installed.machine
    with (
        default_route(machine.leader),
        machine.network(),
        Sniffer() as sniffer,
        FakeCamioThread(port=CAMIO_PORT) as camio,
    ):
        with machine.network():
            installed.restart()
        installed.post(camio, "watched")
        camio.wait_until(lambda arrived: arrived["watched"] != [], PATIENCE)
        # The service labeled before the control starts, so it had more time to look up a name than the control.
        with control(installed) as asked:
            assert asked.startswith("asked"), "the control looked up no name, so this test proves nothing"
        assert any(is_ours(packet) for packet in sniffer.packets), "the sniffer recorded no packet"
        assert [packet for packet in sniffer.packets if not is_ours(packet)] == []
    assert machine.path("/root/.cache/Microsoft").exists(), "the control left no file, so this test proves nothing"
    files = machine.output("find", "/", "/run", "/tmp", "/dev/shm", "-xdev", "-user", "camiohookd").splitlines()
    assert files
    assert [file for file in files if not file.startswith(OUR_FOLDERS)] == []
    assert [file for file in files if "microsoft" in file.lower() or ".onnxruntime" in file] == []
