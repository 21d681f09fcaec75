"""`camiohookd devices`: list the devices, and try the model on each.

providers, plug-ins ─▶ `choice.Survey` ─▶ rows, or lines of JSON ─▶ what `auto` picks
"""

from typing import TYPE_CHECKING, Any

import click

from camiohookd.cli.settings import settings_without_keys
from camiohookd.errors import ModelError
from camiohookd.system.logs import escape

if TYPE_CHECKING:
    from camiohookd.config.settings import LabelerSettings
    from camiohookd.labelers.onnx.accelerators.survey import DeviceFinding, Survey
    from camiohookd.labelers.onnx.devices import Device

_ROW = "{:<32}  {:<8}  {:<12}  {:<8}  {:>6}  {}"


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per device instead of a table.")
@click.option("--model", metavar="DIR", help="Use this model: its folder or its name.  [default: the daemon's]")
@click.option(
    "--timeout",
    type=click.FloatRange(1, 600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="The longest time for one device.",
)
def devices(as_json: bool, model: str | None, timeout: float) -> None:
    """List the devices that the model can run on, and try it on each.

    The list has the execution providers of the installed ONNX Runtime and those of plug-ins: the libraries named by
    plugins under [labeler], those in /usr/lib/camiohookd/plugins, and the Python packages onnxruntime-ep-*. On each
    device, a separate process labels a few pictures. A device runs the model if the results are those of the CPU.
    MS is the time per picture while every core labels.

    A name under DEVICE can be set as device in camiohookd.toml. device = "auto" picks the fastest device that runs.

    \b
    Examples:
      camiohookd devices
      camiohookd devices --model yolox-nano --timeout 120

    With several labelers, each model is tried, one after another; "labeler" in JSON is its name.

    A JSON object is {"device", "provider", "hardware", "vendor", "origin": "built in" or the plug-in's name, "runs",
    "problem", "ms", "nodes": how much of the model the device itself runs, "auto": whether "auto" picks it}.
    """
    settings = settings_without_keys()
    labelers = [each for each in settings.labelers if each.kind == "onnx"] or [settings.labeler]
    if model:
        labelers = labelers[:1]
    for nth, labeler in enumerate(labelers):
        if len(labelers) > 1 and not as_json:
            click.echo(f"{chr(10) if nth else ''}{labeler.title}")
        _try_devices(labeler, model, timeout, as_json=as_json, names_model=len(labelers) > 1)


def _try_devices(
    labeler: "LabelerSettings", model: str | None, timeout: float, *, as_json: bool, names_model: bool
) -> None:
    """Print what one labeler's model, or another `model`, can run on."""
    from camiohookd.labelers.onnx.accelerators.survey import best

    survey = _survey(labeler, model)
    tried: list[DeviceFinding] = []
    for found in survey.found(timeout):
        tried.append(survey.tried(found, timeout))
        if found.device and found.device.is_cpu and tried[-1].problem:
            raise ModelError(tried[-1].problem)
        if not as_json:
            if len(tried) == 1:
                click.echo(_ROW.format("DEVICE", "HARDWARE", "VENDOR", "FROM", "MS", "RUNS"))
            click.echo(_row(tried[-1]))
    picked = best(tried)
    if as_json:
        _print_json(tried, picked, labeler.title if names_model else None)
    else:
        click.echo(f"\nauto picks {picked.name if picked else 'none'}")


def _survey(labeler: "LabelerSettings", model: str | None) -> "Survey":
    from camiohookd.labelers.model import find, load_description
    from camiohookd.labelers.onnx.accelerators.survey import Survey
    from camiohookd.labelers.onnx.devices import libraries, parse_device
    from camiohookd.labelers.onnx.throughput import cores

    folder = find(model or labeler.model)
    load_description(folder)  # a wrong description is not a device's fault
    return Survey(folder, parse_device(labeler.device), list(libraries(labeler.plugins)), threads=cores())


def _row(found: "DeviceFinding") -> str:
    device = found.device
    runs = f"no: {found.problem}" if found.problem else "yes"
    if found.nodes and device and not device.is_cpu:
        runs += f", {found.nodes} nodes"
    hardware, vendor = (device.hardware or "-", device.vendor or "-") if device else ("-", "-")
    ms = "-" if found.ms is None else f"{found.ms:.1f}"
    return escape(_ROW.format(found.name, hardware, vendor, "plug-in" if found.library else "built in", ms, runs))


def _print_json(tried: "list[DeviceFinding]", picked: "Device | None", labeler: str | None) -> None:
    import msgspec

    of_labeler = {"labeler": labeler} if labeler else {}
    for found in tried:
        click.echo(msgspec.json.encode(_as_object(found, picked) | of_labeler))


def _as_object(found: "DeviceFinding", picked: "Device | None") -> dict[str, Any]:
    device = found.device
    return {
        "device": found.name,
        "provider": device and device.provider,
        "hardware": (device and device.hardware) or None,
        "vendor": (device and device.vendor) or None,
        "origin": found.library.name if found.library else "built in",
        "runs": found.problem is None,
        "problem": found.problem,
        "ms": found.ms,
        "nodes": found.nodes or None,
        "auto": picked is not None and device == picked,
    }
