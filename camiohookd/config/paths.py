"""Find the settings file, the state folder and the control socket: systemd's folders, else the usual places."""

from collections.abc import Mapping
from pathlib import Path

DEFAULT_CONFIG_DIR = Path("/etc/camiohookd")
DEFAULT_STATE_DIR = Path("/var/lib/camiohookd")
DEFAULT_RUNTIME_DIR = Path("/run/camiohookd")
CONTROL_SOCKET = "control.sock"

ROLLED_BACK = "rolled-back"
"""The file beside the settings in which the package names a version that did not work on this box."""


def config_file(environ: Mapping[str, str]) -> Path:
    """Return the usual settings file: in systemd's ConfigurationDirectory, or in the place that it would have."""
    return Path(environ.get("CONFIGURATION_DIRECTORY") or DEFAULT_CONFIG_DIR) / "camiohookd.toml"


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of the queue: systemd's StateDirectory, or the place that it would have."""
    return Path(environ.get("STATE_DIRECTORY") or DEFAULT_STATE_DIR)


def runtime_dir(environ: Mapping[str, str]) -> Path:
    """Return the folder of the control socket: systemd's RuntimeDirectory; without systemd, the state folder.

    Commands outside the service use the place that RuntimeDirectory has while the service runs.
    """
    given = environ.get("RUNTIME_DIRECTORY") or environ.get("STATE_DIRECTORY")
    if given or not DEFAULT_RUNTIME_DIR.is_dir():
        return Path(given or DEFAULT_STATE_DIR)
    return DEFAULT_RUNTIME_DIR


def control_socket(environ: Mapping[str, str]) -> Path:
    """Return the socket through which commands ask the running daemon."""
    return runtime_dir(environ) / CONTROL_SOCKET
