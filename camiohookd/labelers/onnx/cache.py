"""What was worked out about a model and is kept for the next start: optimised graphs and measurements.

    <state>/graphs/graph-1f3c...        "camiohookd kept graph-1f3c... SHA-256", a line end, the data

A file is used only if it is whole and was written for exactly this purpose. What cannot be written is not kept.
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

KEPT_OF_A_KIND = 4

log = logging.getLogger("camiohookd.labeler")


class Cache:
    """The files in a folder, made when there is something to keep; `facts` go into every key: what all that is kept
    here depends on."""

    def __init__(self, folder: Path, facts: Mapping[str, object]) -> None:
        self.folder = folder
        self._facts = dict(facts) | {"processor": processor()}

    def load(self, kind: str, **facts: object) -> bytes | None:
        """What was last saved under the same kind and facts, or None."""
        path = self._path(kind, facts)
        try:
            head, _, data = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if head != _head(path, data):
            log.warning("%s is damaged and will be made again", path)
            return None
        with suppress(OSError):
            os.utime(path)
        return data

    def save(self, kind: str, data: bytes, **facts: object) -> None:
        """Keep `data`, and of its kind no more than `KEPT_OF_A_KIND` others that were used lately."""
        path = self._path(kind, facts)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(Disk(), path, _head(path, data) + b"\n" + data)
            self._remove_old(kind)
        except OSError as error:
            log.warning("%s cannot be written, so that it will be made again: %s", path, error.strerror)

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
    """The machine's kind of processor, with what it can do: an optimised graph may rest on that."""
    told = {"model name", "Model", "CPU part", "flags", "Features"}
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        facts = sorted({line for line in lines if line.partition("\t")[0].partition(":")[0].strip() in told})
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    return platform.machine()
