"""Root folders of Debian, made once and kept as tarballs: release, architecture ─▶ tarball ─▶ a fresh folder.

They hold what a small Debian has, and what the package needs of it, because a machine that is booted from one has no
network to fetch anything from. mmdebstrap makes them from the mirror that this host's own apt is told to use.
"""

import hashlib
import os
import re
import subprocess
from pathlib import Path

KEEP = "CAMIOHOOKD_ROOTS"
"""The variable that names the folder of the tarballs."""

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "sudo", "ca-certificates", "curl"),
    *("libexpat1", "libsqlite3-0", "libuuid1", "media-types"),  # what the package depends on and a small Debian lacks
    *("openssh-client", "openssh-server"),  # the two ends of the tunnel
)


class CannotMakeRoot(Exception):
    """The text is what mmdebstrap said."""


def tarball(release: str, architecture: str) -> Path:
    """The tarball of that root folder, made now if there is none; takes two minutes, or four where it is emulated."""
    recipe = hashlib.sha256(repr(PACKAGES).encode()).hexdigest()[:8]
    file = _folder() / f"{release}-{architecture}-{recipe}.tar"
    if not file.exists():
        part = file.with_name(f"{os.getpid()}-{file.name}")
        try:
            _make(release, architecture, part)
            part.rename(file)
        finally:
            part.unlink(missing_ok=True)
    return file


def unpack(file: Path, root: Path) -> None:
    root.mkdir(parents=True)
    subprocess.run(["tar", "--extract", "--numeric-owner", "--xattrs", "--file", file, "--directory", root], check=True)


def _folder() -> Path:
    folder = Path(os.environ.get(KEEP) or Path.home() / ".cache" / "camiohookd-roots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _make(release: str, architecture: str, file: Path) -> None:
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--architectures={architecture}"]
    command += [f"--include={','.join(PACKAGES)}", *(f"--aptopt={line}" for line in _apt_options())]
    # What the host's apt needs to get through to its mirror is none of the root folder's business.
    command += ['--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"']
    made = subprocess.run([*command, release, file, *_mirror()], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise CannotMakeRoot(f"mmdebstrap cannot make a root folder of {release}, {architecture}:\n{made.stderr}")


def _mirror() -> list[str]:
    """Where this host has Debian's packages from; nothing, which is mmdebstrap's own choice, on another system."""
    form = "--format=$(LABEL) $(REPO_URI)"
    told = subprocess.run(
        ["apt-get", "indextargets", form, "Identifier: Packages"], capture_output=True, text=True, check=False
    )
    return re.findall(r"^Debian (\S+)$", told.stdout, re.MULTILINE)[:1]


def _apt_options() -> list[str]:
    """Proxies, and what is not checked, as this host's apt has them."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return re.findall(r'^Acquire::(?:https?::.*|Check-.*) ".+";$', dump, re.MULTILINE)
