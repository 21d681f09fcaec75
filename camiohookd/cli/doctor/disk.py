"""Check the state folder and its disk: permissions, free space and wear."""

import os
from pathlib import Path

from camiohookd.cli.doctor.files import is_open_to_all
from camiohookd.cli.doctor.findings import Finding, Findings, Group
from camiohookd.cli.doctor.start import check_state
from camiohookd.config.settings import QueueSettings
from camiohookd.errors import StateFolderError
from camiohookd.monitoring.status import StatusReport
from camiohookd.units import size

_GROUP = Group("disk")
_SECTOR = 512  # Linux' unit in /sys/dev/block/*/stat, for every disk
_SECTORS_WRITTEN = 6  # the seventh number: Documentation/block/stat.rst
_MAKE_ROOM = "delete files on that disk, or use a larger one"
_SHORT = 3
"""Warn if the free space is below this many times min_free_bytes."""


def check_disk(folder: Path, settings: QueueSettings, report: StatusReport | None) -> Findings:
    """Check the state folder `folder`; `report` is the running daemon's, None if none runs."""
    if not folder.exists():
        yield _GROUP.ok("state folder", f"{folder} does not exist yet: the first start creates it")
        folder = next(each for each in folder.parents if each.exists())
    else:
        yield _state_folder(folder)
    try:
        facts = os.statvfs(folder)
    except OSError as error:
        yield _GROUP.failed("free space", f"cannot ask for the free space of {folder}: {error.strerror}")
        return
    if facts.f_flag & os.ST_RDONLY:
        yield _GROUP.failed(
            "read-only",
            f"the file system of {folder} is mounted read-only",
            "look for disk errors (dmesg), repair or replace the disk, and restart the machine",
        )
    yield _free_space(folder, facts.f_bavail * facts.f_frsize, settings)
    yield _wear(folder, report)


def _state_folder(folder: Path) -> Finding:
    try:
        check_state(folder)
    except StateFolderError as error:
        return _GROUP.failed("state folder", str(error))
    if does := is_open_to_all(folder):
        return _GROUP.failed(
            "state folder", f"{folder}: every user of this machine can {does} it", f"sudo chmod o-rwx {folder}"
        )
    return _GROUP.ok("state folder", str(folder))


def _free_space(folder: Path, free: int, settings: QueueSettings) -> Finding:
    least = int(settings.min_free_bytes)
    said = f"{size(free)} free on the disk of {folder}; the service leaves {size(least)} free (queue.min_free_bytes)"
    if free <= least:
        return _GROUP.failed("free space", f"{said}: events are refused", _MAKE_ROOM)
    if free < _SHORT * least:
        return _GROUP.warning("free space", f"{said}: it will soon be full", _MAKE_ROOM)
    return _GROUP.ok("free space", said)


def _wear(folder: Path, report: StatusReport | None) -> Finding:
    written = report.queue.written_bytes_per_event if report and report.queue else None
    own = f"; camiohookd writes {size(written)} per event" if written else ""
    device = folder.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    used = life_used(block)
    if used is not None and used >= 90:
        return _GROUP.warning("wear", f"at least {used} % of the card's life is used{own}", "replace it soon")
    if used is not None:
        return _GROUP.ok("wear", f"at most {used + 10} % of the card's life is used{own}")
    if (sectors := _sectors_written(block)) is not None:
        return _GROUP.ok("wear", f"{size(sectors * _SECTOR)} written to the disk since this machine started{own}")
    return _GROUP.not_checked("wear", f"the disk does not report how much was written to it{own}")


def life_used(block: Path) -> int | None:
    """Return the least percentage of an eMMC's life that is used, in steps of ten; None if it does not report it.

    Two numbers, such as ``0x01 0x02``: JEDEC JESD84-B51, DEVICE_LIFE_TIME_EST_TYP_A and _B; 1 is 0 to 10 %.
    """
    for folder in (block, block / ".."):
        try:
            estimates = (folder / "device" / "life_time").read_text().split()
            worst = max(int(each, 16) for each in estimates)
        except (OSError, ValueError):
            continue
        return (worst - 1) * 10 if worst else None
    return None


def _sectors_written(block: Path) -> int | None:
    try:
        return int((block / "stat").read_text().split()[_SECTORS_WRITTEN])
    except (OSError, ValueError, IndexError):
        return None
