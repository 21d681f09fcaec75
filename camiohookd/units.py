"""Write sizes, durations and counts for people: 200 MB, 5 min, 1 event."""


def size(count: float) -> str:
    """Return `count` bytes with three significant digits and a decimal unit: "0 B", "157 MB", "1.5 GB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:  # from there on, three digits would round to 1000
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"


def plural(count: int, one: str, many: str = "") -> str:
    """Return `count` with its noun: "1 event", "0 events", "1,000 events". `many` is `one` with an s if not given."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"


def duration(seconds: float) -> str:
    """Return seconds in one or two units: "420 ms", "3.1 s", "31 s", "5 min", "2 h 5 min", "3 d 4 h"."""
    if seconds < 0.9995:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"
