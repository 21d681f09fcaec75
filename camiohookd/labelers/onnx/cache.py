"""Keep what was computed for a model for the next start: optimized graphs and chosen devices.

    <state>/graphs/graph-1f3c...        "camiohookd kept graph-1f3c... SHA-256", a line end, the data

A file is used only if its checksum is right and it was written for exactly these facts. Write errors are logged.
"""

import hashlib
import json
import logging
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from camiohookd.system.disk import Disk, replace_file
from camiohookd.system.log_fields import about

KEPT_OF_A_KIND = 4

log = logging.getLogger("camiohookd.labeler")


class Cache:
    """Files in a folder, which is made when it is first needed. `facts` are part of every key."""

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        self.folder = folder
        self._facts = dict(facts) | {"processor": processor()}

    def load(self, kind: str, **facts: object) -> bytes | None:
        """Return what was last saved for the same kind and facts, or None."""
        path = self._path(kind, facts)
        try:
            head, _, data = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if head != _head(path, data):
            log.warning("%s is damaged and will be made again", path, extra=about("cache_damaged"))
            return None
        with suppress(OSError):
            os.utime(path)
        return data

    def save(self, kind: str, data: bytes, **facts: object) -> None:
        """Save `data`, and keep only the `KEPT_OF_A_KIND` most recently used files of its kind."""
        path = self._path(kind, facts)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(Disk(), path, _head(path, data) + b"\n" + data)
            self._remove_old(kind)
        except OSError as error:
            log.warning(
                "cannot write %s, so it will be made again at the next start: %s",
                path,
                error.strerror,
                extra=about("cache_not_written"),
            )

    def _path(self, kind: str, facts: Mapping[str, object]) -> Path:
        key = json.dumps([kind, self._facts, facts], sort_keys=True, default=str)
        return self.folder / f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:32]}"

    def _remove_old(self, kind: str) -> None:
        files = sorted(self.folder.glob(f"{kind}-*"), key=lambda path: -path.stat().st_mtime_ns)
        for path in files[KEPT_OF_A_KIND:]:
            path.unlink()


def _head(path: Path, data: bytes) -> bytes:
    return f"camiohookd kept {path.name} {hashlib.sha256(data).hexdigest()}".encode()


def processor() -> str:
    """Return a hash of the processor's model and features, which an optimized graph may depend on."""
    told = {"model name", "Model", "CPU part", "flags", "Features"}
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        facts = sorted({line for line in lines if line.partition("\t")[0].partition(":")[0].strip() in told})
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    return platform.machine()
