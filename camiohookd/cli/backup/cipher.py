"""Encrypt a backup with a passphrase: AES-256-CTR by openssl's ``enc``, which Debian's ca-certificates brings.

::

    18 bytes   "camiohookd backup\n"
    16 bytes   salt
    32 bytes   HMAC-SHA256 of the 34 bytes above: tells a wrong passphrase from a damaged file
    32 bytes   HMAC-SHA256 of everything else in the file (encrypt-then-MAC)
    rest       what openssl enc -aes-256-ctr -pbkdf2 -salt writes

scrypt (RFC 7914) makes 64 bytes of passphrase and salt: half is the key of the HMACs, half, in hexadecimal, is what
openssl gets as its own passphrase, through a pipe. Nothing secret is in an argument or in the environment, and nothing
is on the disk unencrypted.
"""

import hashlib
import hmac
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, NamedTuple

from camiohookd.cli.backup.manifest import BackupError

MAGIC = b"camiohookd backup\n"
SHORTEST = 12
"""Least characters of a passphrase."""

_SALT, _TAG = 16, 32
_HEADER = len(MAGIC) + _SALT + 2 * _TAG
_CHUNK = 1 << 20
_N, _R, _P = 1 << 15, 8, 3  # of OWASP's Password Storage Cheat Sheet: 32 MiB
_COMMAND = ("enc", "-aes-256-ctr", "-pbkdf2", "-iter", "1")  # scrypt has made the key slow already


class _Keys(NamedTuple):
    mac: bytes
    openssl: bytes


def is_encrypted(start: bytes) -> bool:
    """Return whether a file that begins with `start` is an encrypted backup."""
    return start.startswith(MAGIC)


@contextmanager
def encrypting(file: IO[bytes], passphrase: str) -> Iterator[IO[bytes]]:
    """Yield a stream; what is written to it is in `file`, encrypted, after the block. Raises BackupError, OSError."""
    if len(passphrase) < SHORTEST:
        raise BackupError(f"the passphrase is too short: expected {SHORTEST} characters or more")
    salt = os.urandom(_SALT)
    keys = _keys(passphrase, salt)
    file.write((MAGIC + salt).ljust(_HEADER, b"\0"))
    file.flush()
    with _openssl(keys, "-e", stdin=subprocess.PIPE, stdout=file) as process:
        assert process.stdin is not None
        try:
            yield process.stdin
        finally:
            process.stdin.close()
        _wait_for_success(process)
    known = _tag(keys, MAGIC + salt)
    os.pwrite(file.fileno(), known, len(MAGIC) + _SALT)
    os.pwrite(file.fileno(), _tag_of_all(keys, file.fileno(), MAGIC + salt + known), _HEADER - _TAG)


@contextmanager
def decrypting(file: IO[bytes], passphrase: str) -> Iterator[IO[bytes]]:
    """Check that all of `file` is unchanged, then yield a stream of the decrypted bytes.

    Raises BackupError for a wrong passphrase, and for a file that is damaged, cut off or changed.
    """
    header = os.pread(file.fileno(), _HEADER, 0)
    if len(header) < _HEADER:
        raise BackupError("the file is cut off within its first line")
    start = header[: len(MAGIC) + _SALT]
    keys = _keys(passphrase, start[len(MAGIC) :])
    known, all_of_it = header[len(start) : -_TAG], header[-_TAG:]
    if not hmac.compare_digest(_tag(keys, start), known):
        raise BackupError("the passphrase is wrong")
    if not hmac.compare_digest(_tag_of_all(keys, file.fileno(), header[:-_TAG]), all_of_it):
        raise BackupError("the file is damaged, was cut off or was changed: its authentication code is wrong")
    os.lseek(file.fileno(), _HEADER, os.SEEK_SET)
    with _openssl(keys, "-d", stdin=file, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        while process.stdout.read(_CHUNK):  # a tar's padding
            pass
        _wait_for_success(process)


@contextmanager
def _openssl(
    keys: _Keys, direction: str, *, stdin: IO[bytes] | int, stdout: IO[bytes] | int
) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which("openssl", path=f"{os.environ.get('PATH', '')}:/usr/bin")
    if program is None:
        raise BackupError("openssl, which encrypts backups, is not installed: sudo apt install openssl")
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, keys.openssl + b"\n")
        os.close(write_end)
        process = subprocess.Popen(  # noqa: S603  # openssl and words of this module
            [program, *_COMMAND, direction, "-pass", f"fd:{read_end}"],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            pass_fds=(read_end,),
        )
    finally:
        os.close(read_end)
    with process:
        yield process


def _wait_for_success(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    said = process.stderr.read(_CHUNK).decode(errors="replace").strip()
    if process.wait() != 0:
        raise BackupError(f"openssl failed with exit status {process.returncode}: {said}")


def _keys(passphrase: str, salt: bytes) -> _Keys:
    made = hashlib.scrypt(
        passphrase.encode("utf-8", "surrogatepass"), salt=salt, n=_N, r=_R, p=_P, maxmem=128 * 1024 * 1024, dklen=64
    )
    return _Keys(made[:32], made[32:].hex().encode())


def _tag(keys: _Keys, data: bytes) -> bytes:
    return hmac.digest(keys.mac, data, "sha256")


def _tag_of_all(keys: _Keys, descriptor: int, start: bytes) -> bytes:
    """Return the code of `start` and of everything in the file that follows the header."""
    code, at = hmac.new(keys.mac, start, "sha256"), _HEADER
    while data := os.pread(descriptor, _CHUNK, at):
        code.update(data)
        at += len(data)
    return code.digest()
