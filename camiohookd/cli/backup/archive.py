"""The tar of a backup: `write` makes it, `read` checks every byte of it while it hands the files on.

The first member is the manifest. The others follow in its order, with exactly the sizes and checksums that it says.
"""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from camiohookd.cli.backup import cipher, contents, manifest
from camiohookd.cli.backup.contents import BoxFiles
from camiohookd.cli.backup.manifest import MANIFEST, BackupError, FileEntry, Manifest

_CHUNK = 1 << 20
_DAMAGED = "the file is damaged or was cut off"


def may_be_backup(path: Path) -> bool:
    """Return whether a file begins as a backup does, or is empty. Raises OSError."""
    with path.open("rb") as file:
        start = file.read(512)
    return not start or cipher.is_encrypted(start) or start.startswith(MANIFEST.encode() + b"\0")


def write(stream: IO[bytes], listed: Manifest, box: BoxFiles) -> None:
    """Write the tar to `stream`. Raises BackupError if a file changed since it was listed, OSError from `stream`."""
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        data = manifest.encode(listed)
        tar.addfile(_header(MANIFEST, len(data)), io.BytesIO(data))
        for entry in listed.files:
            with contents.opened(box, entry.name) as file:
                hashing = _Hashing(file)
                try:
                    tar.addfile(_header(entry.name, entry.size, entry.mode), hashing)  # type: ignore[arg-type]  # reads only
                except OSError as error:
                    if error.errno is not None:
                        raise
                    raise _changed(box, entry) from None  # tarfile's own error: it is shorter now
            if hashing.digest.hexdigest() != entry.sha256:
                raise _changed(box, entry)


def read(
    stream: IO[bytes], accept: Callable[[Manifest], None], sink: Callable[[FileEntry], IO[bytes] | None]
) -> Manifest:
    """Read the tar from `stream` to its end and return its manifest.

    `accept` is called with the manifest before anything else is read, and may raise. `sink` opens the place for the
    bytes of each file, or returns None if they are only to be checked; the caller closes it. Raises BackupError
    if anything is not as the manifest says.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > manifest.MAX_BYTES:
                raise BackupError("it is not a backup of camiohookd: its first member is not a manifest")
            listed = manifest.decode(_file_of(tar, first).read())
            accept(listed)
            for entry in listed.files:
                _copy(tar, entry, sink(entry))
            if (extra := tar.next()) is not None:
                raise BackupError(f"it holds a file that its manifest does not name: {extra.name!r}")
    except (tarfile.TarError, EOFError, UnicodeDecodeError) as error:
        raise BackupError(f"{_DAMAGED} ({error})") from None
    return listed


def _copy(tar: tarfile.TarFile, entry: FileEntry, sink: IO[bytes] | None) -> None:
    member = tar.next()
    if member is None:
        raise BackupError(f"{_DAMAGED}: {entry.name!r} is missing")
    if member.name != entry.name or not member.isreg() or member.size != entry.size:
        raise BackupError(f"it does not match its manifest: expected {entry.name!r}, found {member.name!r}")
    digest, source = hashlib.sha256(), _file_of(tar, member)
    while data := source.read(_CHUNK):
        digest.update(data)
        if sink is not None:
            sink.write(data)
    if digest.hexdigest() != entry.sha256:
        raise BackupError(f"the checksum of {entry.name!r} is wrong: the file is damaged or was changed")


def _file_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    assert file is not None  # an ordinary file
    return file


def _header(name: str, size: int, mode: int = 0o600) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode = size, mode
    return header


def _changed(box: BoxFiles, entry: FileEntry) -> BackupError:
    return BackupError(f"{box.path(entry.name)}: changed while it was saved; try again")


class _Hashing:
    """A file that computes the checksum of what is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def read(self, count: int) -> bytes:
        data = self._file.read(count)
        self.digest.update(data)
        return data
