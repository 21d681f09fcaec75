"""Replace a file of the owner's as a whole: settings, keys, the password.

The new file appears complete or not at all. It has the owner and the mode of the old one. Other users can never read a
secret one, and the service can.
"""

import grp
import os
import stat
import tomllib
from contextlib import suppress
from pathlib import Path

from camiohookd.errors import CamiohookdError
from camiohookd.system import permissions
from camiohookd.system.disk import new_file

_MODE = 0o640


def replace(path: Path, text: str, *, is_secret: bool = True) -> None:
    """Write `text` to the file `path`, in place of what it holds. Raises CamiohookdError.

    Other users can still read a file that is not secret, if they could read the old one.
    """
    try:
        with new_file(path.resolve()) as file:
            _set_owner_and_mode(path, file.fileno(), is_secret=is_secret)
            file.write(text.encode())
    except OSError as error:
        raise CamiohookdError(f"{path}: cannot be written: {permissions.reason(error, path)}") from None


def replace_settings(path: Path, text: str) -> None:
    """Write a settings file, which is secret if it holds the key. Raises CamiohookdError."""
    replace(path, text, is_secret="api_key" in tomllib.loads(text).get("hook", {}))


def _set_owner_and_mode(path: Path, descriptor: int, *, is_secret: bool) -> None:
    """Copy those of the file that is replaced. If root's group owned it, or it is new, the service may read it."""
    old = path.stat() if path.exists() else None
    if old is not None and (not is_secret or (old.st_uid, old.st_gid) != (0, 0)):
        os.fchown(descriptor, old.st_uid, old.st_gid)
        os.fchmod(descriptor, old.st_mode & _MODE if is_secret else stat.S_IMODE(old.st_mode))
        return
    os.fchmod(descriptor, _MODE)
    with suppress(KeyError, PermissionError):  # not installed as a service, or made by an ordinary user
        os.fchown(descriptor, -1, grp.getgrnam(permissions.SERVICE_USER).gr_gid)
