"""Write sizes as people, and the settings, write them: 200 MB."""


def size(count: float) -> str:
    """Return `count` bytes with three significant digits and a decimal unit: "0 B", "157 MB", "1.5 GB"."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 999.5:  # from there on, three digits would round to 1000
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.3g} TB"
