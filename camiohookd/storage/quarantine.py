"""Where damaged bytes are set aside, so that a person can look at them and nothing else stumbles over them."""

import logging
from collections import Counter
from pathlib import Path
from typing import Literal

from camiohookd.system.disk import Disk

Kind = Literal["journal", "snapshot", "payload"]

log = logging.getLogger("camiohookd.queue")


class Quarantine:
    """The folder `quarantine/` of a state folder; `counts` says how often what kind was set aside since the start."""

    def __init__(self, folder: Path, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self.counts: Counter[Kind] = Counter()
        self.bytes_used = sum(path.stat().st_size for path in self.files())

    def files(self) -> list[Path]:
        """What is set aside, oldest first."""
        return sorted(filter(Path.is_file, self._folder.iterdir()), key=_number) if self._folder.is_dir() else []

    def set_aside(self, kind: Kind, origin: str, data: bytes) -> None:
        """Keep damaged bytes of `origin` (a file's name and place). A disk that refuses costs the copy, no more."""
        self.counts[kind] += 1
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            files = self.files()
            path = self._folder / f"{_number(files[-1]) + 1 if files else 1:06d}-{kind}-{origin}"
            fd = self._disk.open_append(path)
            try:
                self._disk.write(fd, data)
                self._disk.sync(fd)
            finally:
                self._disk.close(fd)
            self._disk.sync_folder(self._folder)
            self.bytes_used += len(data)
        except OSError as error:
            log.error("damaged %s (%s, %d bytes) could not be kept: %s", kind, origin, len(data), error)
        else:
            log.error("damaged %s set aside: %d bytes of %s are now in %s", kind, len(data), origin, path)

    def evict_oldest(self) -> bool:
        """Make room; False when there is nothing (left) to let go."""
        for path in self.files():
            size = path.stat().st_size
            self._disk.unlink(path)
            self.bytes_used -= size
            log.warning("%s was deleted to make room for new events", path)
            return True
        return False


def _number(path: Path) -> int:
    head = path.name.partition("-")[0]
    return int(head) if head.isdigit() else 0
