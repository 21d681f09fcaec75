"""Advise a person about a file that this process may not use; give files to their user."""

import os
import pwd
from pathlib import Path

SERVICE_USER = "camiohookd"
"""The user, and the group, that the package's service runs as."""

SUDO = "run this command with sudo"

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # only compared with, never written to


def reason(error: OSError, path: str | Path) -> str:
    """Return why `path` cannot be used, for an error's text; if permission is denied, also what to do about it."""
    return f"{error.strerror or error}{remedy(path) if isinstance(error, PermissionError) else ''}"


def remedy(path: str | Path) -> str:
    """Return what to do after a PermissionError on `path`, to append to an error: "; ..." or "".

    A person runs the command with sudo; the service's own user has to be given the right.
    """
    if sudo_helps():
        return f"; {SUDO}"
    if not is_service():
        return ""
    if str(path).startswith(_HIDDEN):
        return f"; the service cannot see files there: move it to /etc/camiohookd, readable by the group {SERVICE_USER}"
    return (
        f"; the service runs as the user {SERVICE_USER}, which must be able to read it: "
        f"sudo chgrp {SERVICE_USER} {path} && sudo chmod g+r {path}"
    )


def sudo_helps() -> bool:
    """Return whether a person runs this process, and not as root."""
    return os.geteuid() != 0 and not is_service()


def is_service() -> bool:
    """Return whether this process runs as the service's user."""
    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid == os.geteuid()
    except KeyError:
        return False


def give_to_owner_of(folder: Path, path: Path) -> None:
    """Give `path`, which root may have made, to the owner of `folder`, such as the service. Raises OSError."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
