"""Advise a person about a file that this process may not use."""

import os
import pwd
from pathlib import Path

SERVICE_USER = "camiohookd"
"""The user, and the group, that the package's service runs as."""

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  # only compared with, never written to


def remedy(path: str | Path) -> str:
    """Return what to do after a PermissionError on `path`, to append to an error: "; ..." or "".

    A person runs the command with sudo; the service's own user has to be given the right.
    """
    if os.geteuid() == 0:
        return ""
    if not is_service():
        return "; run this command with sudo"
    if str(path).startswith(_HIDDEN):
        return f"; the service cannot see files there: move it to /etc/camiohookd, readable by the group {SERVICE_USER}"
    return (
        f"; the service runs as the user {SERVICE_USER}, which must be able to read it: "
        f"sudo chgrp {SERVICE_USER} {path} && sudo chmod g+r {path}"
    )


def is_service() -> bool:
    """Return whether this process runs as the service's user."""
    try:
        return pwd.getpwnam(SERVICE_USER).pw_uid == os.geteuid()
    except KeyError:
        return False
