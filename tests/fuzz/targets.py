"""What the fuzzer calls: bytes in, and any exception but the documented one is a find.

A target takes any bytes at all. None of them sleeps, talks to a network or leaves anything behind but a folder in
memory.
"""

import contextlib
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from camiohookd import config, images, journal
from camiohookd.disk import Disk
from camiohookd.documents import Documents
from camiohookd.errors import ConfigError, ModelError, PayloadError, PictureError
from camiohookd.labelers import model
from camiohookd.labelers.decoders import decoder
from camiohookd.payload import parse_event
from camiohookd.taskqueue import TaskQueue
from tests.queue_fixtures import make_event

_LIMITS = images.Limits(("jpeg", "png", "webp"), max_pixels=300_000, max_bytes=65_536)
_EVENTS = 4
_MEMORY = Path("/dev/shm")  # a folder in memory, where there is one


def payload(data: bytes) -> None:
    with contextlib.suppress(PayloadError):
        parse_event(data)


def picture(data: bytes) -> None:
    with contextlib.suppress(PictureError):
        decoded = images.decode(data, _LIMITS, (32, 32))
        assert decoded.width * decoded.height <= _LIMITS.max_pixels


def settings(data: bytes) -> None:
    """A camiohookd.toml."""
    file = _folder() / "camiohookd.toml"
    file.write_bytes(data)
    with contextlib.suppress(ConfigError):
        config.load(file, {})


def model_toml(data: bytes) -> None:
    """A model's description, and the decoder that it asks for."""
    (_folder() / "model.toml").write_bytes(data)
    with contextlib.suppress(ModelError):
        found = model.load_description(_folder())
        decoder(found.decoder, (found.input.width, found.input.height), found.labels, found.options)


def journal_lines(data: bytes) -> None:
    """A journal of any lines. Those that begin with an @ are given a right checksum, which no fuzzer would find."""
    lines = [
        b"%08x %b\n" % (zlib.crc32(line[1:]), line[1:]) if line.startswith(b"@") else line + b"\n"
        for line in data.split(b"\n")
    ]
    journal.replay(journal.Scan(b"".join(lines)), Documents(), {})


def recovery(data: bytes) -> None:
    """A queue's folder in which bytes were changed, lost or put in, opened again: it opens, and holds nothing new.

    Each eight bytes are one change: the file (1), what is done (1), the offset (4), two bytes.
    """
    folder = _folder() / "state"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_sound_state(), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.startswith(("queue", "payload")))
    for which, what, offset, new in struct.iter_unpack("<BBI2s", data[: len(data) // 8 * 8]):
        file = files[which % len(files)]
        file.write_bytes(_changed(file.read_bytes(), what % 3, offset, new))
    queue = TaskQueue(folder, backoff=lambda _: 1.0, disk=_Unsynced())
    found = len(queue.storage.documents)
    queue.close()
    assert found <= _EVENTS


def _changed(data: bytes, what: int, offset: int, new: bytes) -> bytes:
    """Bytes written over, left out, or put in."""
    offset %= len(data) + 1
    return data[:offset] + (b"" if what == 1 else new) + data[offset + (0 if what == 2 else 2) :]


class _Unsynced(Disk):
    """Nothing here has to survive a power cut."""

    def sync(self, fd: int) -> None:
        pass


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="camiohookd-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))


@cache
def _sound_state() -> Path:
    folder = _folder() / "sound"
    queue = TaskQueue(folder, backoff=lambda _: 1.0)
    for number in range(_EVENTS):
        queue.put(queue.prepare(make_event(number)))
        queue.commit()
    queue.close()
    return folder


TARGETS: dict[str, Callable[[bytes], None]] = {
    "payload": payload,
    "picture": picture,
    "settings": settings,
    "model_toml": model_toml,
    "journal_lines": journal_lines,
    "recovery": recovery,
}
