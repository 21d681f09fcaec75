"""Make root folders of Debian and Ubuntu: release ─▶ a folder that is made once and kept ─▶ a layer for each machine.

They hold a minimal system and the package's dependencies, because a machine that boots from one has no network.
mmdebstrap fetches Debian from the mirror that this host's own apt uses.
"""

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

KEEP = "CAMIOHOOKD_ROOTS"
"""The environment variable with the path of the folder that holds the root folders."""

Packages = tuple[str, ...]
PACKAGES: Packages = (
    *("systemd", "systemd-sysv", "dbus", "sudo", "ca-certificates", "curl"),
    *("libexpat1", "libsqlite3-0", "libuuid1", "media-types"),  # dependencies of the package that minbase lacks
    *("openssh-client", "openssh-server"),  # the two ends of the tunnel
    "apt-utils",  # makes the repository that autopkgtest installs the package from
)

UBUNTU = "noble"
"""Ubuntu 24.04."""

_UBUNTU_ARCHIVE = "http://archive.ubuntu.com/ubuntu"
_UBUNTU_KEYRING = f"{_UBUNTU_ARCHIVE}/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_UBUNTU_KEYRING_SHA256 = "36de43b15853ccae0028e9a767613770c704833f82586f28eb262f0311adb8a8"


class CannotMakeRoot(Exception):
    """mmdebstrap failed; the text is its output."""


@contextmanager
def layer(release: str, architecture: str, folder: Path, packages: Packages = PACKAGES) -> Iterator[Path]:
    """Yield a root folder whose changes stay in memory and are discarded at the end."""
    folder.mkdir(parents=True)
    _mount("tmpfs", folder, "mode=0755")
    try:
        for name in ("changes", "work", release):
            (folder / name).mkdir()
        lower = root_folder(release, architecture, packages)
        _mount("overlay", folder / release, f"lowerdir={lower},upperdir={folder}/changes,workdir={folder}/work")
        try:
            _name(folder / release)
            yield folder / release
        finally:
            subprocess.run(["umount", folder / release], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


def root_folder(release: str, architecture: str, packages: Packages = PACKAGES) -> Path:
    """Return the kept root folder. If it is missing, make it, which takes one minute, or ten if emulated."""
    recipe = hashlib.sha256(repr(packages).encode()).hexdigest()[:8]
    keep = Path(os.environ.get(KEEP) or Path.home() / ".cache" / "camiohookd-roots")
    folder = keep / f"{release}-{architecture}-{recipe}"
    if not folder.exists():
        keep.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f"{folder.name}.{os.getpid()}")
        try:
            _make(release, architecture, packages, part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
            part.with_suffix(".gpg").unlink(missing_ok=True)
    return folder


def _name(root: Path) -> None:
    """Replace this host's name and name servers, which mmdebstrap copies."""
    (root / "etc/hostname").write_text("box\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 box\n")
    (root / "etc/resolv.conf").write_text("")


def _mount(kind: str, target: Path, options: str) -> None:
    subprocess.run(["mount", "-t", kind, "-o", options, kind, target], check=True)


def _make(release: str, architecture: str, packages: Packages, folder: Path) -> None:
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--architectures={architecture}"]
    command += [f"--include={','.join(packages)}", *(f"--aptopt={line}" for line in apt_options())]
    # Remove the host's apt options, which only mmdebstrap needs.
    command += ['--customize-hook=rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"']
    command += _ubuntu_options(folder.with_suffix(".gpg")) if release == UBUNTU else []
    source = [_UBUNTU_ARCHIVE] if release == UBUNTU else mirror()
    made = subprocess.run([*command, release, folder, *source], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise CannotMakeRoot(f"mmdebstrap cannot make a root folder of {release}, {architecture}:\n{made.stderr}")


def _ubuntu_options(keyring: Path) -> list[str]:
    """Return mmdebstrap's options for Ubuntu, and write its keys to `keyring`.

    Debian 12 has no package with these keys. They come from Ubuntu's archive, and their hash is checked.
    """
    with TemporaryDirectory() as made:
        package = f"{made}/keyring.deb"
        fetch = [
            "/usr/lib/apt/apt-helper",
            "download-file",
            _UBUNTU_KEYRING,
            package,
            f"SHA256:{_UBUNTU_KEYRING_SHA256}",
        ]
        fetched = subprocess.run(fetch, capture_output=True, text=True, check=False)
        if fetched.returncode != 0:
            raise CannotMakeRoot(f"Ubuntu's keys cannot be fetched: {fetched.stdout}{fetched.stderr}")
        subprocess.run(["dpkg-deb", "--extract", package, made], check=True)
        shutil.copy(Path(made, "usr/share/keyrings/ubuntu-archive-keyring.gpg"), keyring)
    return ["--components=main,universe", f"--keyring={keyring}"]


def mirror(label: str = "Debian") -> list[str]:
    """Return the URL of this host's Debian mirror, or nothing on other systems, so that mmdebstrap chooses."""
    form = "--format=$(LABEL) $(REPO_URI)"
    told = subprocess.run(
        ["apt-get", "indextargets", form, "Identifier: Packages"], capture_output=True, text=True, check=False
    )
    return re.findall(rf"^{label} (\S+)$", told.stdout, re.MULTILINE)[:1]


def apt_options() -> list[str]:
    """Return this host's apt options for proxies and for disabled checks."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return re.findall(r'^Acquire::(?:https?::.*|Check-.*) ".+";$', dump, re.MULTILINE)
