"""Parse a posted body in one step; the daemon cuts the pictures out and reads the event in two, see `web.intake`."""

from camiohookd.wire.cut_body import cut_pictures
from camiohookd.wire.event import USUAL_LIMITS, Event, EventLimits, read_event


def parse_event(body: bytes | bytearray, limits: EventLimits = USUAL_LIMITS) -> Event:
    """Decode and check one posted event. Raises `PayloadError` as `cut_pictures` and `read_event`, and nothing else."""
    return read_event(cut_pictures(body, limits.max_json_bytes), limits)
