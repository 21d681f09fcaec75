"""Check the clock, on which certificates and all shown times depend."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from camiohookd.cli.doctor.findings import Finding, Group

_GROUP = Group("clock")
_SET = "have it set from the network: sudo timedatectl set-ntp true"
_MOST_OFF = timedelta(seconds=60)
BUILT = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this date must be wrong: this program did not exist."""


def check_clock(now: datetime, date_header: str | None) -> Finding:
    """Compare `now` with the Date header of Camio's API (RFC 9110, section 6.6.1); None if it did not answer."""
    shown = now.strftime("%Y-%m-%d %H:%M:%S UTC")
    if now < BUILT:
        return _GROUP.failed("clock", f"it says {shown}, which is in the past", _SET)
    other = _parsed(date_header)
    if other is None:
        return _GROUP.not_checked("clock", f"it says {shown}; Camio did not answer, so it is not compared")
    off = abs(now - other)
    if off > _MOST_OFF:
        return _GROUP.failed("clock", f"it says {shown}, {off.total_seconds():.0f} s off Camio's clock", _SET)
    return _GROUP.ok("clock", f"{shown}, the same as Camio's clock")


def _parsed(date_header: str | None) -> datetime | None:
    try:
        other = parsedate_to_datetime(date_header or "")
    except ValueError:
        return None
    return other if other.tzinfo else other.replace(tzinfo=UTC)
