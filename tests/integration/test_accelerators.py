"""The daemon with devices that do not work, and with real execution providers.

Real providers are large: only a long run installs them, each into its own environment.
"""

import json
import platform
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.daemon_process import Daemon, post_event
from tests.support.threaded_simulator import FakeCamioThread

LOCKS = Path(__file__).parents[1] / "accelerators"
PATIENCE = 30.0
BACK_SECONDS = 100.0
FOUND = "on OpenVINOExecutionProvider,"


@pytest.fixture
def camio() -> Iterator[FakeCamioThread]:
    with FakeCamioThread() as camio:
        yield camio


def label(daemon: Daemon, camio: FakeCamioThread, name: str) -> bool:
    """Post an event; return whether its cat was found."""
    post_event(daemon, camio, name)
    camio.wait_until(lambda arrived: len(arrived[name]) == 1, PATIENCE)
    return b'"cat"' in camio.deliveries[name][0].body


def degraded(daemon: Daemon) -> float | None:
    """Return the metric; None without an answer: the flavor's ONNX Runtime blocks all of Python while it compiles."""
    lines = daemon.admin("/metrics")[1].splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("camiohookd_degraded ")), None)


def lines_with(daemon: Daemon, text: str) -> list[str]:
    return [line for line in daemon.log.splitlines() if text in line]


def test_logs_and_counts_a_missing_device_and_labels_on_the_cpu(tmp_path: Path, camio: FakeCamioThread) -> None:
    with Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_LABELER_DEVICE": "npu"}) as daemon:
        assert label(daemon, camio, "one")
        assert degraded(daemon) == 1
        assert len(lines_with(daemon, "labeling on the CPU, next try in 1 min")) == 1
        assert daemon.stop() == 0


def test_the_status_for_systemd_says_that_labeling_is_degraded(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(tmp_path / "notify"))
        notices.settimeout(PATIENCE)
        settings = {"CAMIOHOOKD_LABELER_DEVICE": "npu", "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with Daemon(tmp_path, "http://127.0.0.1:9", settings):
            while not (notice := notices.recv(4096)).startswith(b"STATUS="):
                pass
    assert notice == b"STATUS=0 waiting, 0/min, cpu (degraded, see the log)\nWATCHDOG=1"


def test_the_second_start_uses_the_cached_device_choice(tmp_path: Path, camio: FakeCamioThread) -> None:
    with Daemon(tmp_path, camio.origin, {"CAMIOHOOKD_LABELER_THREADS": "auto"}) as daemon:
        kept = {file.name: file.stat().st_ino for file in (daemon.state / "graphs").iterdir()}
        assert {name.partition("-")[0] for name in kept} == {"graph"}
        daemon.kill()
        daemon.start()
        assert {file.name: file.stat().st_ino for file in (daemon.state / "graphs").iterdir()} == kept
        assert label(daemon, camio, "one")
        assert degraded(daemon) == 0


def test_an_invalid_device_setting_stops_the_start(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "http://127.0.0.1:9", {"CAMIOHOOKD_LABELER_DEVICE": "auto fast"})
    complaint = 'labeler.device: given "auto fast", expected options as key=value'
    daemon.start(wait=False)
    assert daemon.process.wait(PATIENCE) == 78
    assert complaint in daemon.log
    checked = daemon.command("check", check=False)
    assert (checked.returncode, complaint in checked.stderr) == (78, True)


# Real execution providers


@pytest.fixture(scope="module")
def environment(long_run: bool, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the Python of an environment with this one's packages and, before them, those of the named lock file."""
    if not long_run:
        pytest.skip("NOT TESTED: real execution providers, which are installed in a long run (--long) only")
    if platform.machine() != "x86_64" or sys.version_info >= (3, 14):
        pytest.skip("NOT TESTED: real execution providers, because there are none for this machine or Python")

    def make(lock: str) -> str:
        folder = tmp_path_factory.mktemp(lock)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        python = str(folder / "bin/python")
        pip = [python, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check", "install"]
        locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCKS / lock)]
        subprocess.run([*pip, *locked], check=True)
        query = "import sysconfig; print(sysconfig.get_path('purelib'))"
        site = subprocess.run([python, "-c", query], capture_output=True, text=True, check=True).stdout.strip()
        Path(site, "ours.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
        return python

    return make


@pytest.fixture(scope="module")
def with_plugin(environment: Callable[[str], str]) -> str:
    return environment("plugin.lock")


@pytest.fixture(scope="module")
def with_flavor(environment: Callable[[str], str]) -> str:
    return environment("flavor.lock")


def devices(python: str, home: Path, **environ: str) -> list[dict[str, object]]:
    """Return the output of ``camiohookd devices``; check that it leaves no file in its home."""
    home.mkdir(exist_ok=True)
    places = {"HOME": str(home), "TMPDIR": str(home), "CONFIGURATION_DIRECTORY": str(home), "PATH": "/usr/bin:/bin"}
    command = [python, "-m", "camiohookd", "devices", "--json"]
    done = subprocess.run(command, env=places | environ, capture_output=True, text=True, check=True)
    assert [file for file in home.rglob("*") if file.is_file()] == []
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_real_plugin_without_a_device_is_logged_and_the_cpu_used(
    tmp_path: Path, camio: FakeCamioThread, with_plugin: str
) -> None:
    cpu, *others = devices(with_plugin, tmp_path / "home")
    assert (cpu["device"], cpu["runs"]) == ("CPUExecutionProvider", True)
    if others[0]["device"] != "onnxruntime_ep_openvino":
        pytest.skip(f"NOT TESTED: a plug-in that finds no device, because it finds {others[0]['device']} here")
    assert others[0]["problem"] == "the plug-in finds no device of its kind on this machine"
    folders = [tmp_path / "auto", tmp_path / "named"]
    for folder in folders:
        folder.mkdir()
    with Daemon(folders[0], camio.origin, python=with_plugin) as daemon:
        assert label(daemon, camio, "auto")
        assert len(lines_with(daemon, "onnxruntime_ep_openvino is not used: the plug-in finds no device")) == 1
        assert lines_with(daemon, " on cpu, ")
        assert degraded(daemon) == 0
    settings = {"CAMIOHOOKD_LABELER_DEVICE": "OpenVINOExecutionProvider"}
    with Daemon(folders[1], camio.origin, settings, with_plugin) as daemon:
        assert label(daemon, camio, "named")
        assert len(lines_with(daemon, "labeling on the CPU, next try in 1 min")) == 1
        assert degraded(daemon) == 1


def test_finds_a_real_plugins_library_by_the_settings(tmp_path: Path, with_plugin: str) -> None:
    query = "import onnxruntime_ep_openvino as plugin; print(plugin.get_library_path())"
    path = subprocess.run([with_plugin, "-c", query], capture_output=True, text=True, check=True).stdout.strip()
    found = devices(sys.executable, tmp_path / "home", CAMIOHOOKD_LABELER_PLUGINS=json.dumps([path]))
    assert path in {each["origin"] for each in found}
    assert not [each for each in found if "loaded" in str(each["problem"])]


def test_finds_tries_and_uses_a_real_built_in_provider(
    tmp_path: Path, camio: FakeCamioThread, with_flavor: str, print_figure: Callable[[str], None]
) -> None:
    cpu, device = devices(with_flavor, tmp_path / "home")
    assert (device["device"], device["origin"], device["runs"]) == ("OpenVINOExecutionProvider", "built in", True)
    print_figure(f"devices: CPU {cpu['ms']} ms, OpenVINO on the CPU {device['ms']} ms a picture")
    assert [cpu["auto"], device["auto"]].count(True) == 1
    settings = {"CAMIOHOOKD_LABELER_DEVICE": "OpenVINOExecutionProvider"}
    with Daemon(tmp_path, camio.origin, settings, with_flavor) as daemon:
        for name in ("first-start", "second-start"):
            assert label(daemon, camio, name)
            assert degraded(daemon) == 0
            assert daemon.stop() == 0
            daemon.start()
        assert len(lines_with(daemon, FOUND)) == 3
        assert len(lines_with(daemon, "OpenVINOExecutionProvider: ")) == 1, "it is tried out once"


def test_a_missing_real_device_is_logged_and_the_cpu_used(
    tmp_path: Path, camio: FakeCamioThread, with_flavor: str
) -> None:
    settings = {"CAMIOHOOKD_LABELER_DEVICE": "openvino device_type=NPU"}
    with Daemon(tmp_path, camio.origin, settings, with_flavor) as daemon:
        if lines_with(daemon, FOUND):
            pytest.skip("NOT TESTED: a device that is not there, because there is one")
        assert label(daemon, camio, "one")
        assert degraded(daemon) == 1
        [line] = lines_with(daemon, "labeling on the CPU, next try in 1 min")
        assert "Device NPU is not available" in line


def test_after_a_kill_on_a_real_device_starts_on_the_cpu_and_returns_to_the_device(
    tmp_path: Path, camio: FakeCamioThread, with_flavor: str
) -> None:
    settings = {"CAMIOHOOKD_LABELER_DEVICE": "openvino"}
    with Daemon(tmp_path, camio.origin, settings, with_flavor) as daemon:
        assert lines_with(daemon, FOUND)
        daemon.kill()
        daemon.start()
        assert len(lines_with(daemon, "the program has died while it was in use; labeling on the CPU")) == 1
        assert degraded(daemon) == 1
        assert label(daemon, camio, "on-the-cpu")
        wait_until(lambda: degraded(daemon) == 0, BACK_SECONDS)
        assert len(lines_with(daemon, "OpenVINOExecutionProvider: works again, labeling on it")) == 1
        assert label(daemon, camio, "on-the-device")
        assert degraded(daemon) == 0


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.5)
