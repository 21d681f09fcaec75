"""Check how old this version is: security fixes of the Python and the libraries in the package come with new ones.

The date is in the changelog, which the package and a checkout have.
"""

import gzip
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path

from camiohookd.cli.doctor.findings import Finding, Group
from camiohookd.units import plural

OLD = timedelta(days=180)
"""Age from which the owner is told to look for a newer version."""

_DOCUMENTS = Path("/usr/share/doc/camiohookd")
_CHECKOUT = Path(__file__).parents[3] / "debian"
CHANGELOGS = (_CHECKOUT / "changelog", _DOCUMENTS / "changelog.gz", _DOCUMENTS / "changelog.Debian.gz")

_GROUP = Group("version")
_UPDATE = "install a newer one if there is one: sudo apt update && sudo apt install --only-upgrade camiohookd"
_TOP_ENTRY = re.compile(
    r"^camiohookd \(([^)]+)\).*?^ -- [^\n]*?  ([^\n]+)$", re.DOTALL | re.MULTILINE
)  # deb-changelog(5)


def check_version(now: datetime, changelogs: tuple[Path, ...] = CHANGELOGS) -> Finding:
    """Return how old this version is at `now`."""
    installed = version("camiohookd")
    released = next((date for file in changelogs if (date := _date_of(file, installed)) is not None), None)
    if released is None:
        return _GROUP.not_checked("age", f"{installed}; its changelog, which has its date, is not installed")
    age = now - released
    if age < timedelta(days=-1):
        return _GROUP.not_checked("age", f"{installed} of {released:%Y-%m-%d}, which the clock has not reached yet")
    text = f"{installed} of {released:%Y-%m-%d}, {plural(max(age.days, 0), 'day')} old"
    if age > OLD:
        return _GROUP.warning("age", f"{text}; fixes of security holes come with new versions", _UPDATE)
    return _GROUP.ok("age", text)


def _date_of(changelog: Path, installed: str) -> datetime | None:
    """Return the date of the entry at the top of the changelog, None if there is none for the version `installed`."""
    try:
        data = changelog.read_bytes()
        text = (gzip.decompress(data) if changelog.suffix == ".gz" else data).decode()
        entry = _TOP_ENTRY.match(text)
        if entry is None or re.split("[~+-]", entry[1])[0] != installed:
            return None
        return parsedate_to_datetime(entry[2]).astimezone(UTC)
    except (OSError, EOFError, ValueError):  # not installed, or damaged
        return None
