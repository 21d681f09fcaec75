"""Damage by which no waiting event may be lost: what a crash, a bad copy or a wrong edit leaves in a state folder."""

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

LENGTH = 1000


def torn_line(state: Path, noise: random.Random) -> None:
    """Append half a line to the journal, as a power cut during a write leaves it."""
    _append(_newest(state, "queue.journal-*"), b'%08x ["set", "1", {"state": ' % noise.getrandbits(32))


def journal_tail(state: Path, noise: random.Random) -> None:
    _append(_newest(state, "queue.journal-*"), b"\n" + noise.randbytes(LENGTH))


def segment_tail(state: Path, noise: random.Random) -> None:
    for kind in ("segments/*.payloads", "replies/*.replies"):
        _append(_newest(state, kind), noise.randbytes(LENGTH))


def snapshot_lines(state: Path, noise: random.Random) -> None:
    """Put garbage between two lines, and a wrong byte into another one, whose event the other files still have."""
    path = state / "queue.json"
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    number = noise.randrange(len(lines))
    lines[number] = re.sub(rb'"digest":"', b'"d1gest":"', lines[number])
    lines.insert(noise.randrange(len(lines)), noise.randbytes(LENGTH) + b"\n")
    path.write_bytes(b"".join(lines))


def unfinished_files(state: Path, noise: random.Random) -> None:
    """Write a snapshot that was never finished, and files that nobody knows."""
    (state / "queue.json.new").write_bytes(noise.randbytes(LENGTH))
    (state / "notes.txt").write_bytes(noise.randbytes(LENGTH))
    (state / "segments" / "copy of 00000001.payloads").write_bytes(noise.randbytes(LENGTH))


def optimized_graph(state: Path, noise: random.Random) -> None:
    """Damage the optimized graph, which the next start makes again."""
    for path in (state / "graphs").glob("*"):
        data = path.read_bytes()
        place = noise.randrange(len(data))
        path.write_bytes(data[:place] + noise.randbytes(LENGTH) + data[place + LENGTH :])


GARBAGE: tuple[Callable[[Path, random.Random], None], ...] = (
    torn_line,
    snapshot_lines,
    segment_tail,
    journal_tail,
    unfinished_files,
    optimized_graph,
)


def _newest(state: Path, pattern: str) -> Path | None:
    return max(state.glob(pattern), default=None)


def _append(path: Path | None, data: bytes) -> None:
    if path is not None:
        with path.open("ab") as file:
            file.write(data)
            os.fsync(file.fileno())
