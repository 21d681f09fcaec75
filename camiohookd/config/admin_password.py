"""The password of the private listener: its scrypt hash in a file that only root and the service can read.

A password ─▶ `make` ─▶ ``scrypt$16384$8$5$SALT$HASH``, salt and hash in base64 ─▶ `write`, `read` ─▶ `is_right`

The parameters are one of the equal choices of OWASP's Password Storage Cheat Sheet: 16 MiB of memory, and about a
quarter of a second on a PC.
"""

import base64
import binascii
import hashlib
import hmac
import os
from dataclasses import dataclass, field
from pathlib import Path

from camiohookd.config import owner_file
from camiohookd.errors import CamiohookdError, ConfigError
from camiohookd.system import permissions

FILE_NAME = "admin-password"
SHORTEST = 8
"""Least characters of a password."""
LONGEST = 1024
"""Most bytes of a password in UTF-8."""

_N, _R, _P = 1 << 14, 8, 5
_MOST_MEMORY = 64 * 1024 * 1024
_MOST_P = 16
_SALT_BYTES, _HASH_BYTES = 16, 32


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A password, hashed with scrypt (RFC 7914) with the cost `n`, the block size `r` and the parallelization `p`."""

    n: int
    r: int
    p: int
    salt: bytes = field(repr=False)
    hash: bytes = field(repr=False)

    def is_right(self, offered: str) -> bool:
        """Return whether `offered` is the password. Takes long on purpose: call it on a thread."""
        return hmac.compare_digest(_scrypt(offered, self.n, self.r, self.p, self.salt), self.hash)

    def __str__(self) -> str:
        encoded = (base64.b64encode(part).decode() for part in (self.salt, self.hash))
        return "$".join(("scrypt", str(self.n), str(self.r), str(self.p), *encoded))


def check_length(password: str) -> None:
    """Raise CamiohookdError if a new password is too short or too long."""
    if len(password) < SHORTEST:
        raise CamiohookdError(f"the password is too short: choose {SHORTEST} or more characters")
    if len(password.encode("utf-8", "surrogatepass")) > LONGEST:
        raise CamiohookdError(f"the password is too long: choose at most {LONGEST} bytes")


def make(password: str) -> PasswordHash:
    """Hash `password` with a random salt."""
    salt = os.urandom(_SALT_BYTES)
    return PasswordHash(_N, _R, _P, salt, _scrypt(password, _N, _R, _P, salt))


def write(path: Path, password: str) -> None:
    """Replace the file `path` by one with the hash of `password`. Raises CamiohookdError."""
    owner_file.replace(path, f"{make(password)}\n")


def read(path: Path) -> PasswordHash | None:
    """Return what the file `path` holds, None if there is no such file. Raises ConfigError."""
    try:
        text = path.read_text("ascii")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {permissions.reason(error, path)}") from None
    except UnicodeDecodeError:
        text = ""
    try:
        return _parse(text.strip())
    except (ValueError, binascii.Error):
        raise ConfigError(f"{path}: is not a password file; write it anew: sudo camiohookd admin password") from None


def _parse(text: str) -> PasswordHash:
    kind, n, r, p, salt, digest = text.split("$")
    decoded = [base64.b64decode(part, validate=True) for part in (salt, digest)]
    found = PasswordHash(int(n), int(r), int(p), *decoded)
    needed = 128 * found.n * found.r
    if (
        kind != "scrypt"
        or found.n < 2
        or found.n & (found.n - 1)
        or not 0 < needed < _MOST_MEMORY
        or not 0 < found.p <= _MOST_P
    ):
        raise ValueError("not parameters of scrypt")
    if not decoded[0] or len(decoded[1]) != _HASH_BYTES:
        raise ValueError("not a salt and a hash")
    return found


def _scrypt(password: str, n: int, r: int, p: int, salt: bytes) -> bytes:
    data = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=n, r=r, p=p, maxmem=2 * _MOST_MEMORY, dklen=_HASH_BYTES)
