"""The meaning of the setting `device`, and the search for plug-ins."""

import sys
from pathlib import Path

import pytest

from camiohookd.errors import ConfigError, ModelError
from camiohookd.labelers.onnx import providers
from camiohookd.labelers.onnx.devices import Device, Library, libraries, parse_device

PLUGIN = Library(path="/lib/plugin.so")
GPU = Device("OpenVINOExecutionProvider", "gpu", "Intel", 1, PLUGIN)
SECOND_GPU = Device("OpenVINOExecutionProvider", "gpu", "Intel", 2, PLUGIN)
NPU = Device("OpenVINOExecutionProvider", "npu", "Intel", 1, PLUGIN)
CUDA = Device("CUDAExecutionProvider", "gpu")
CPU = Device("CPUExecutionProvider", "cpu")
ALL = [CPU, CUDA, GPU, SECOND_GPU, NPU]


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("auto", ALL),
        ("gpu", [CUDA, GPU, SECOND_GPU]),
        ("npu", [NPU]),
        ("OpenVINOExecutionProvider", [GPU, SECOND_GPU, NPU]),
        ("openvino", [GPU, SECOND_GPU, NPU]),
        ("openvino:gpu", [GPU, SECOND_GPU]),
        ("OpenVINOExecutionProvider:gpu:2", [SECOND_GPU]),
        ("CUDAExecutionProvider device_id=1", [CUDA]),
        ("qnn", []),
    ],
)
def test_a_setting_matches_its_devices(setting: str, meant: list[Device]) -> None:
    assert [device for device in ALL if parse_device(setting).fits(device)] == meant


@pytest.mark.parametrize("setting", ["cpu", "CPU", "CPUExecutionProvider"])
def test_the_cpu_has_two_names(setting: str) -> None:
    assert parse_device(setting).head == "cpu"


@pytest.mark.parametrize("device", [GPU, SECOND_GPU, NPU, CUDA])
def test_matches_a_device_by_name(device: Device) -> None:
    assert parse_device(device.name).fits(device)


def test_parses_a_providers_options_after_its_name() -> None:
    assert parse_device("openvino device_type=GPU precision=FP16").options == {
        "device_type": "GPU",
        "precision": "FP16",
    }


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("openvino fast", "expected options as key=value"),
        ("auto device_type=GPU", "only a provider's name takes options"),
        ("gpu:2", "only a provider's name takes options"),
        ("openvino:tpu", 'expected "auto", "cpu", "gpu", "npu" or a provider\'s name'),
    ],
)
def test_refuses_an_unknown_setting(setting: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=f'given "{setting}"') as error:
        parse_device(setting)
    assert complaint in str(error.value)


def test_finds_named_plugins_and_those_in_the_folder_without_their_dependencies(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "b.so").write_bytes(b"\x7fELF CreateEpFactories")
    (folder / "libtheirs.so").write_bytes(b"\x7fELF")
    (folder / "README").write_text("CreateEpFactories")
    (folder / "again.so").symlink_to(folder / "b.so")
    named = [str(tmp_path / "missing.so"), str(folder / "b.so")]
    found = [library.path for library in libraries(named, folder) if library.path]
    assert found == named


def test_a_replaced_plugin_is_a_different_one(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(b"CreateEpFactories")
    before = list(libraries([], tmp_path))
    (tmp_path / "a.so").write_bytes(b"CreateEpFactories, newer")
    assert list(libraries([], tmp_path)) != before


def test_finds_packages_by_name_without_loading_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "onnxruntime_EP.fancy", "onnxruntime_ep_fancy", "raise SystemExit")
    install(tmp_path, "onnxruntime-extra", "onnxruntime_extra", "")
    monkeypatch.syspath_prepend(tmp_path)
    found = [library for library in libraries([], tmp_path) if library.package]
    assert Library(package="onnxruntime_ep_fancy", stamp="1.5") in found
    assert "onnxruntime_extra" not in {library.package for library in found}
    assert "onnxruntime_ep_fancy" not in sys.modules


def test_built_in_devices_start_with_the_cpu_and_include_no_remote_ones() -> None:
    found = providers.built_in()
    assert found[0].is_cpu
    assert "AzureExecutionProvider" not in {device.provider for device in found}


@pytest.mark.parametrize(
    ("content", "complaint"), [(None, "No such file"), (b"no library", "invalid ELF header|file too short")]
)
def test_refuses_a_file_that_is_not_a_library_with_the_reason(
    tmp_path: Path, content: bytes | None, complaint: str
) -> None:
    if content:
        (tmp_path / "bad.so").write_bytes(content)
    with pytest.raises(ModelError, match=f"cannot be loaded as a plug-in: .*({complaint})"):
        providers.offered_by(Library(path=str(tmp_path / "bad.so")))


def install(site: Path, name: str, module: str, code: str) -> None:
    """Make a Python package as pip installs it."""
    (site / module).mkdir()
    (site / module / "__init__.py").write_text(code)
    info = site / f"{module}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")
    (info / "top_level.txt").write_text(f"{module}\n")
