"""Find the settings file, the state folder and the control socket: systemd's folders, else the usual places."""

from collections.abc import Mapping
from pathlib import Path

DEFAULT_CONFIG_DIR = Path("/etc/camiohookd")


DEFAULT_STATE_DIR = Path("/var/lib/camiohookd")


DEFAULT_RUNTIME_DIR = Path("/run/camiohookd")


ROLLED_BACK = "rolled-back"
"""The file beside the settings in which the package names a version that did not work on this box."""


def config_file(environ: Mapping[str, str]) -> Path:
    """The file that is read where none is named: in systemd's ConfigurationDirectory, or the place it would have."""
    return Path(environ.get("CONFIGURATION_DIRECTORY") or DEFAULT_CONFIG_DIR) / "camiohookd.toml"


def state_dir(environ: Mapping[str, str]) -> Path:
    """Where the queue lives: systemd's StateDirectory, or the place that it would have."""
    return Path(environ.get("STATE_DIRECTORY") or DEFAULT_STATE_DIR)


def runtime_dir(environ: Mapping[str, str]) -> Path:
    """Where the control socket lives: systemd's RuntimeDirectory, for commands outside the service the place that it
    has while the service runs; else the state folder.
    """
    given = environ.get("RUNTIME_DIRECTORY") or environ.get("STATE_DIRECTORY")
    if given or not DEFAULT_RUNTIME_DIR.is_dir():
        return Path(given or DEFAULT_STATE_DIR)
    return DEFAULT_RUNTIME_DIR
