"""A small file system that is mounted for a test and really fills up."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.recording import MortalDisk

MB = 1_000_000
SIZE = "64M"
CANNOT_MOUNT = "no file system can be mounted here, which takes root and e2fsprogs"


class SmallDisk:
    """A small file system, mounted for the test."""

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self.kind = kind
        self.disk = MortalDisk()

    def fill(self, leave: int) -> None:
        """Fill the free space except `leave` bytes, as another program on the box might."""
        with (self.path / "filler").open("ab") as file:
            while (free := self.disk.free_bytes(self.path) - leave) > 0:
                try:
                    os.write(file.fileno(), bytes(min(free, MB)))
                except OSError as error:
                    assert error.errno == errno.ENOSPC
                    return

    def empty(self) -> None:
        (self.path / "filler").unlink()

    def fail(self) -> None:
        """Make the file system read-only while files are open, as ext4 does after an error (errors=remount-ro)."""
        run("mount", "-o", "remount,abort", str(self.path))

    def remount(self, how: str) -> None:
        """Remount the file system as its owner would, ``ro`` or ``rw``."""
        run("mount", "-o", f"remount,{how}", str(self.path))

    def mount_again(self) -> None:
        run("umount", str(self.path))
        run("mount", "-o", "loop", str(self.path.parent / "image"), str(self.path))


def _mount_ext4(path: Path, size: str) -> None:
    image = path.parent / "image"
    run("truncate", "-s", size, str(image))
    run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))
    run("mount", "-o", "loop", str(image), str(path))


def _mount_tmpfs(path: Path, size: str) -> None:
    run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


MOUNTS = {"ext4": _mount_ext4, "tmpfs": _mount_tmpfs}


@contextmanager
def mounted(path: Path, kind: str, size: str = SIZE) -> Iterator[SmallDisk]:
    """Mount a file system of `size` (as truncate and tmpfs write it) at `path`.

    Raises OSError or CalledProcessError where that is not allowed.
    """
    path.mkdir(exist_ok=True)
    MOUNTS[kind](path, size)
    try:
        yield SmallDisk(path, kind)
    finally:
        run("umount", "--lazy", str(path))
