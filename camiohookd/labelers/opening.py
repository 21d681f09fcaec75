"""The labeler that the settings ask for, ready to use."""

from camiohookd.labelers import Labeler
from camiohookd.settings import Labeler as Settings


def open_labeler(settings: Settings) -> Labeler:
    """Raises SetupError: ModelError, LabelerError."""
    match settings.kind:
        case "python":
            from camiohookd.labelers.own import open_script

            return open_script(settings.script, settings.interpreter, settings.deadline)
        case "command":
            from camiohookd.labelers.own import open_command

            return open_command(settings.command, settings.deadline)
        case "onnx":
            from camiohookd.labelers import model
            from camiohookd.labelers.onnx.labeler import open_onnx

            return open_onnx(model.find(settings.model))
