"""Open the labeler that the settings ask for."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from camiohookd.config.settings import LabelerSettings
from camiohookd.labelers import Labeler


class Opened(NamedTuple):
    """A labeler, and how many threads should call it at a time."""

    labeler: Labeler
    threads: int


def known_labels(settings: LabelerSettings) -> tuple[str, ...] | None:
    """Return the labels that the labeler can find; None for own code, which makes its own. Raises SetupError."""
    if settings.kind != "onnx":
        return None
    from camiohookd.labelers import model

    return tuple(label for label in model.load_description(model.find(settings.model)).labels if label)


def open_labeler(settings: LabelerSettings, state: Path | None, on_degraded: Callable[[bool], None]) -> Opened:
    """Open the labeler, ready to use. The `state` folder keeps what makes the next start faster.

    `on_degraded` is called with True when the CPU replaces the device, and with False when the device works again.
    Raises SetupError.
    """
    match settings.kind:
        case "python":
            from camiohookd.labelers.own_code.labeler import open_script

            return Opened(open_script(settings.script, settings.interpreter, settings.deadline), 1)
        case "command":
            from camiohookd.labelers.own_code.labeler import open_command

            return Opened(open_command(settings.command, settings.deadline), 1)
        case "onnx":
            from camiohookd.labelers import model
            from camiohookd.labelers.detail.labeler import Detailed
            from camiohookd.labelers.onnx.open import open_configured

            folder = model.find(settings.model)
            labeler, threads = open_configured(
                folder,
                device=settings.device,
                plugins=settings.plugins,
                threads=settings.threads,
                deadline=settings.deadline,
                state=state,
                on_degraded=on_degraded,
            )
            if model.load_description(folder).task != "detection":
                return Opened(labeler, threads)  # without boxes, nothing says where in a tile an object is
            return Opened(Detailed(labeler), threads)
