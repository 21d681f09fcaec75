"""Read what the package's trial of a new version left for the owner: debian/bin/trial writes it, beside the settings.

Three lines: the version that did not label, when it was replaced by the one before, and why. The next version that
labels deletes the file.
"""

from pathlib import Path

from camiohookd.config.paths import ROLLED_BACK
from camiohookd.system.logs import escape

_MOST = 4096


def read(settings: Path) -> str | None:
    """Return a sentence for the owner, None if no version was replaced. `settings` is the settings file."""
    try:
        with settings.with_name(ROLLED_BACK).open("rb") as file:
            lines = file.read(_MOST).decode("utf-8", "replace").splitlines()
    except OSError:  # the usual case: there is none
        return None
    version, when, why = (*map(escape, lines[:3]), "", "", "")[:3]
    return (
        f"Version {version or 'unknown'} was replaced by the version before on {when or 'an unknown day'}: "
        f"{why or 'the reason is unknown'}. It is not installed again by itself; a newer one is."
    )
