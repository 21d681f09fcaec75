"""The execution providers of ONNX Runtime: built-in ones and those of plug-ins.

A plug-in's code runs in the process that asks for its devices, so an untried plug-in is asked in a separate process,
see `probe`. The package's `__init__` switches ONNX Runtime's telemetry off in all of them.
"""

import importlib
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnxruntime as ort  # type: ignore[import-untyped]  # it has no type hints

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.devices import CPU_PROVIDER, Device, Library

_REMOTE = {"AzureExecutionProvider"}  # it would send pictures to another machine
_ONLY_ERRORS, _NO_MESSAGES = 3, 4  # the least severe messages that ONNX Runtime prints

_offers: dict[Library, dict[Device, Any]] = {}


def be_silent(silent: bool) -> None:
    """Set whether ONNX Runtime prints its own lines about errors, which do not belong in the log."""
    ort.set_default_logger_severity(_NO_MESSAGES if silent else _ONLY_ERRORS)


be_silent(True)


def version() -> str:
    """Return ONNX Runtime's version, with what distinguishes its builds."""
    return f"{ort.__version__} {ort.get_device()} {','.join(ort.get_available_providers())}"


def built_in() -> list[Device]:
    """Return the CPU, then the other devices that this build of ONNX Runtime supports."""
    hardware = "gpu" if ort.get_device() == "GPU" else ""  # other builds do not say what hardware they use
    names = [name for name in ort.get_available_providers() if name != CPU_PROVIDER and name not in _REMOTE]
    vendor = next((str(each.device.vendor) for each in _handles() if each.ep_name == CPU_PROVIDER), "")
    return [Device(CPU_PROVIDER, "cpu", vendor), *(Device(name, hardware) for name in names)]


def offered_by(library: Library) -> list[Device]:
    """Return the devices that a plug-in finds on this machine, maybe none; it stays registered.

    Raises ModelError if the library cannot be loaded, or is not a plug-in.
    """
    if library not in _offers:
        _offers[library] = _register(library)
    return list(_offers[library])


def choose(options: ort.SessionOptions, device: Device, settings: Mapping[str, str]) -> list[Any]:
    """Set up `options` for the device, and return the session's `providers`. Raises ModelError if it is gone."""
    if device.library is None:
        return [(device.provider, dict(settings))] + ([] if device.is_cpu else [CPU_PROVIDER])
    offered_by(device.library)
    handle = _offers[device.library].get(device)
    if handle is None:
        raise ModelError(f"{device.name} is not there; {device.library.name} offers {_names(device.library)}")
    options.add_provider_for_devices([handle], dict(settings))
    return []


def _names(library: Library) -> str:
    return ", ".join(device.name for device in offered_by(library)) or "none"


def _register(library: Library) -> dict[Device, Any]:
    known = Counter(_facts(each) for each in _handles())
    try:
        path = _path(library)
        ort.register_execution_provider_library(path, path)
    except Exception as error:  # a package's code raises anything, and ONNX Runtime's exceptions have no other base
        raise ModelError(f"it cannot be loaded as a plug-in: {_text(error)}") from error
    offers: dict[Device, Any] = {}
    for handle in _handles():
        facts = _facts(handle)
        known[facts] -= 1
        if known[facts] < 0:
            offers[_device(handle, library, offers)] = handle
    return offers


def _handles() -> list[Any]:
    """ONNX Runtime before 1.23 has no plug-ins, and some boards have no newer one."""
    return list(getattr(ort, "get_ep_devices", list)())


def _path(library: Library) -> str:
    if library.path:
        return library.path
    return str(importlib.import_module(library.package).get_library_path())


def _device(handle: Any, library: Library, others: Mapping[Device, Any]) -> Device:
    provider, hardware = str(handle.ep_name), str(handle.device.type.name).lower()
    number = 1 + sum((other.provider, other.hardware) == (provider, hardware) for other in others)
    return Device(provider, hardware, str(handle.device.vendor or handle.ep_vendor), number, library)


def _facts(handle: Any) -> tuple[object, ...]:
    device = handle.device
    told = sorted({**handle.ep_metadata, **device.metadata}.items())
    return (handle.ep_name, handle.ep_vendor, device.type.name, device.vendor_id, device.device_id, *told)


def _text(error: Exception) -> str:
    """Return the error's text without ONNX Runtime's ``[ONNXRuntimeError] : 1 : FAIL : ``."""
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
