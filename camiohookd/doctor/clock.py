"""Check the clock: certificates, and the times that are shown, depend on it."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from camiohookd.doctor.findings import Finding, Group

_GROUP = Group("clock")
_SET = "set it by the network: sudo timedatectl set-ntp true"
_MOST_OFF = timedelta(seconds=60)
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""No machine with this program lives before."""


def check_clock(now: datetime, date_header: str | None) -> Finding:
    """Compare `now` with the Date header of Camio's API (RFC 9110, section 6.6.1); None if it did not answer."""
    shown = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now < BUILT:
        return _GROUP.failed("clock", f"it says {shown}, which is long ago", _SET)
    other = _parsed(date_header)
    if other is None:
        return _GROUP.not_checked("clock", f"it says {shown}; there was no answer of Camio's to compare it with")
    off = abs(now - other)
    if off > _MOST_OFF:
        return _GROUP.failed("clock", f"it says {shown}, {off.total_seconds():.0f} s from Camio's clock", _SET)
    return _GROUP.ok("clock", f"{shown}, as Camio's clock says")


def _parsed(date_header: str | None) -> datetime | None:
    try:
        other = parsedate_to_datetime(date_header or "")
    except ValueError:
        return None
    return other if other.tzinfo else other.replace(tzinfo=UTC)
