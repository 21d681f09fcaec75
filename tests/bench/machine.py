"""The machine and the versions that the figures were measured with."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("camiohookd", "onnxruntime", "tornado", "msgspec", "Pillow", "numpy", "tinydb", "requests")


def facts() -> dict[str, Any]:
    """Return ``machine``, ``versions`` and ``date`` for the results' file."""
    return {
        "machine": {
            "processor": processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "load": os.getloadavg()[0],
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def sentence() -> str:
    """Describe the machine in a line."""
    of = facts()["machine"]
    return f"{of['processor']}, {of['cores']} cores, {of['memory'] / 1e9:.0f} GB, Python {platform.python_version()}"


def processor() -> str:
    """Return the processor's name, or the board's (a Raspberry Pi) where the processor has none."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            return line.partition(":")[2].strip()
    board = Path("/proc/device-tree/model")
    return board.read_text().rstrip("\0") if board.exists() else platform.machine()
