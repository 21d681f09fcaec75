"""The targets of the fuzzer: each takes bytes, and any exception other than the documented one is a find.

Targets do not sleep and do not use a network. They write only to a folder in memory.
"""

import contextlib
import gzip
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from ipaddress import ip_network
from pathlib import Path

from camiohookd.config import api_keys, load
from camiohookd.errors import ConfigError, ModelError, PayloadError, PictureError
from camiohookd.labelers import model
from camiohookd.labelers.decoders import decoder
from camiohookd.pictures import decode as images
from camiohookd.pictures.memory import MemoryBudget
from camiohookd.queue.task_queue import TaskQueue
from camiohookd.storage import journal
from camiohookd.storage.documents import Documents
from camiohookd.storage.lost_ids import LostIds
from camiohookd.storage.old_documents import BringUp
from camiohookd.system.disk import Disk
from camiohookd.web.server import gzip_body
from camiohookd.web.server.error_responses import Refused
from camiohookd.web.server.peers import Peers
from tests.support.lines import lines_of
from tests.support.parsed_event import parse_event
from tests.support.queue_factory import make_event

_LIMITS = images.PictureLimits(("jpeg", "png", "webp"), max_pixels=300_000, max_bytes=65_536)
_EVENTS = 4
_UNPACKED = 4096
_PEERS = Peers(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


def payload(data: bytes) -> None:
    with contextlib.suppress(PayloadError):
        parse_event(data)


def picture(data: bytes) -> None:
    budget = MemoryBudget(_LIMITS.max_decoded_bytes)
    with contextlib.suppress(PictureError):
        decoded = images.decode(data, _LIMITS, (32, 32), budget)
        assert decoded.width * decoded.height <= _LIMITS.max_pixels
        decoded.release()
    assert budget.used == 0


def gzip_payload(data: bytes) -> None:
    """Unpack a body in gzip; after an @ the rest gets a valid header and trailer, which a fuzzer would not find."""
    body = _in_gzip(data[1:]) if data.startswith(b"@") else data
    with contextlib.suppress(Refused):
        unpacked = gzip_body.unpack(body, _UNPACKED)
        assert len(unpacked) <= _UNPACKED
        assert unpacked == gzip.decompress(body)


def _in_gzip(deflated: bytes) -> bytes:
    unpacked = b""
    with contextlib.suppress(zlib.error):
        unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(deflated, 2 * _UNPACKED)
    return gzip.compress(b"")[:10] + deflated + struct.pack("<II", zlib.crc32(unpacked), len(unpacked))


def forwarded(data: bytes) -> None:
    """Read X-Forwarded-For: an address or none from a trusted proxy, ignored from others."""
    header = data.decode("latin-1")
    peer = _PEERS.client("127.0.0.1", header)
    assert peer.name.isascii()
    assert peer.group is None or ip_network(peer.group)
    assert _PEERS.client("192.0.2.1", header) == _PEERS.connected("192.0.2.1")


def keys_file(data: bytes) -> None:
    """Read a file of keys, add a key and remove it again: the others stay unchanged."""
    file = _folder() / "api-keys"
    file.write_bytes(data)
    with contextlib.suppress(ConfigError):
        before = api_keys.read(file)
        assert all(8 <= len(key) <= 256 and key.isascii() for key in before.values())
        name = next(name for name in map(str, range(len(before) + 1)) if name not in before)
        added = api_keys.add(file, name)
        assert api_keys.read(file) == before | {name: added}
        api_keys.retire(file, name, may_be_last=True)
        assert api_keys.read(file) == before


def settings(data: bytes) -> None:
    """Read a camiohookd.toml."""
    file = _folder() / "camiohookd.toml"
    file.write_bytes(data)
    with contextlib.suppress(ConfigError):
        load.load_config(file, {})


def model_toml(data: bytes) -> None:
    """Read a model's description, and make its decoder."""
    (_folder() / "model.toml").write_bytes(data)
    with contextlib.suppress(ModelError):
        found = model.load_description(_folder())
        decoder(found.decoder, (found.input.width, found.input.height), found.labels, found.options)


def journal_lines(data: bytes) -> None:
    """Read a journal of any lines. Lines that begin with an @ get a valid checksum, which a fuzzer would not find."""
    lines = [
        b"%08x %b\n" % (zlib.crc32(line[1:]), line[1:]) if line.startswith(b"@") else line + b"\n"
        for line in data.split(b"\n")
    ]
    scan = journal.Scan(lines_of(b"".join(lines)), LostIds(), lambda *_: None)
    journal.replay(scan, Documents(), {}, BringUp(lambda *_: [1, 0, 0]))


def recovery(data: bytes) -> None:
    """Open a queue's folder after bytes were changed, lost or inserted: it opens, and has no new tasks.

    Each eight bytes are one change: the file (1), the kind of change (1), the offset (4), two bytes.
    """
    folder = _folder() / "state"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_sound_state(), folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name.startswith(("queue", "payload")))
    for which, what, offset, new in struct.iter_unpack("<BBI2s", data[: len(data) // 8 * 8]):
        file = files[which % len(files)]
        file.write_bytes(_changed(file.read_bytes(), what % 3, offset, new))
    queue = TaskQueue(folder, backoff=lambda _: 1.0, disk=_Unsynced())
    found = len(queue.store.storage.documents)
    queue.close()
    assert found <= _EVENTS


def _changed(data: bytes, what: int, offset: int, new: bytes) -> bytes:
    """Return `content` with bytes overwritten, removed or inserted."""
    offset %= len(data) + 1
    return data[:offset] + (b"" if what == 1 else new) + data[offset + (0 if what == 2 else 2) :]


class _Unsynced(Disk):
    """Skip syncing: nothing here has to survive a power cut."""

    def sync(self, fd: int) -> None:
        pass


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="camiohookd-fuzz-"))


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
    "gzip_body": gzip_payload,
    "forwarded": forwarded,
    "keys_file": keys_file,
    "settings": settings,
    "model_toml": model_toml,
    "journal_lines": journal_lines,
    "recovery": recovery,
}
