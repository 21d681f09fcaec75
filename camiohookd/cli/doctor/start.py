"""Try what the service does only at its start, for `camiohookd check` and the doctor. This changes nothing."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from camiohookd.errors import SetupError, StateFolderError
from camiohookd.system import permissions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from camiohookd.config.settings import LabelerSettings


def check_labelers(labelers: "Sequence[LabelerSettings]") -> list[str]:
    """Try to open each labeler; return what is wrong with those that are not required. Raises SetupError."""
    warnings = []
    for settings in labelers:
        try:
            check_labeler(settings)
        except SetupError as error:
            if settings.required is not False:
                raise
            warnings.append(f'labeler "{settings.title}" does not work, so events are labeled without it: {error}')
    return warnings


def check_labeler(settings: "LabelerSettings") -> None:
    """Load the model on the CPU, or start the owner's code, and ask the inference servers. Raises SetupError."""
    from camiohookd.labelers.onnx.devices import parse_device
    from camiohookd.labelers.open import open_labeler

    parse_device(settings.device)
    if settings.kind == "onnx":
        from camiohookd.labelers import model
        from camiohookd.labelers.onnx.labeler import open_onnx

        open_onnx(model.find(settings.model)).close()
        if settings.remote.endpoints:
            from camiohookd.labelers.remote.open import open_remote

            open_remote(settings, strict=True).close()
    else:
        open_labeler(settings, None, lambda _degraded: None).labeler.close()


def check_state(folder: Path) -> None:
    """Look for files of the queue that this user cannot use; a daemon that root ran leaves such files.

    Raises StateFolderError.
    """
    try:
        unusable = next((file for file in (folder, *folder.iterdir()) if not os.access(file, os.R_OK | os.W_OK)), None)
    except FileNotFoundError:
        return  # the first start creates it
    except PermissionError:
        unusable = folder
    if unusable is not None:
        if permissions.sudo_helps():
            raise StateFolderError(f"{unusable}: cannot be read and written; {permissions.SUDO}")
        raise StateFolderError(
            f"{unusable}: the daemon must be able to read and write it; "
            f"give the queue back to the service: sudo chown -R camiohookd: {folder}"
        )
