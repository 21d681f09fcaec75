"""Read what the package's trial of a new version left for the owner: debian/bin/trial writes it, beside the settings.

Four lines: the version that did not label, when that was found, why, and why the version before was not installed
again (empty if it was installed). The next version that labels deletes the file.
"""

from pathlib import Path

from camiohookd.config.paths import ROLLED_BACK
from camiohookd.system.logs import escape

_MOST = 4096


def read(settings: Path) -> str | None:
    """Return what happened, for the owner; None if no version failed. `settings` is the settings file."""
    try:
        with settings.with_name(ROLLED_BACK).open("rb") as file:
            lines = file.read(_MOST).decode("utf-8", "replace").splitlines()
    except OSError:  # the usual case: there is none
        return None
    version, when, why, lost = (*map(escape, lines[:4]), "", "", "", "")[:4]
    version, when, why = version or "unknown", when or "an unknown day", why or "the reason is unknown"
    if lost:
        return (
            f"Version {version} failed its trial on {when}: {why}. It stays installed, because {lost}. "
            "Accepted events are kept. Install a newer version: sudo apt update && sudo apt install camiohookd"
        )
    return (
        f"Version {version} was replaced by the version before on {when}: {why}. "
        "It is not installed again by itself; a newer one is."
    )
