"""A fresh Debian to build the package on: a root folder that is not booted, whose user may run apt-get as root.

It reaches Debian's packages and Python's in the way that this host does.
"""

import os
import re
import shlex
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.appliance import roots
from tests.appliance.debs import ROOT

FRESH = ("ca-certificates", "git", "sudo")
"""What a Debian has beside its smallest, or a person installs before a clone of this."""

CERTIFICATES = "usr/local/share/ca-certificates"
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private")
INTO = """
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
exec chroot "$1" "${@:2}"
"""


@dataclass(frozen=True)
class Workshop:
    root: Path
    clone: Path

    def types(self, command: str) -> str:
        """As the user, in the clone; what was to be read, also of errors. Fails with it when the command does."""
        done = self._run("su", "builder", "--login", "--command", f"cd camiohookd && {command} 2>&1")
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-5000:]}{done.stderr}"
        return done.stdout

    def as_root(self, *command: str) -> None:
        done = self._run(*command)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        proxies = [f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy")]
        environ = ["env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *proxies]
        return subprocess.run(
            [*APART, "bash", "-euc", INTO, "bash", self.root, *environ, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )


@contextmanager
def workshop(release: str, architecture: str, folder: Path) -> Iterator[Workshop]:
    """With a clone of what is committed here."""
    with roots.layer(release, architecture, folder, FRESH) as root:
        made = Workshop(root, root / "home/builder/camiohookd")
        made.as_root("useradd", "--create-home", "--shell", "/bin/bash", "builder")
        (root / "etc/sudoers.d/builder").write_text("builder ALL=(root) NOPASSWD: /usr/bin/apt-get\n")
        _reach_packages(root, release)
        made.as_root("update-ca-certificates")
        subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, made.clone], check=True)
        made.as_root("chown", "--recursive", "builder:", "/home/builder")
        yield made


def _reach_packages(root: Path, release: str) -> None:
    (root / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
    (root / "etc/apt/apt.conf.d/50host").write_text("\n".join(roots.apt_options()))
    suites = {"Debian": (release, f"{release}-updates"), "Debian-Security": (f"{release}-security",)}
    lines = (f"deb {url} {suite} main\n" for label in suites for url in roots.mirror(label) for suite in suites[label])
    (root / "etc/apt/sources.list").write_text("".join(lines))
    for file in Path("/", CERTIFICATES).glob("*.crt"):
        (root / CERTIFICATES / file.name).write_bytes(file.read_bytes())
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *_pip_settings(root), ""]))


def _pip_settings(root: Path) -> list[str]:
    """Of this host's pip, without those that name files of its own."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {}
    for name, text in sorted(re.findall(r"^((?:global|:env:)\.\S+?)=(.*)$", told.stdout, re.MULTILINE), reverse=True):
        value = str(literal_eval(text))
        if all((root / file).exists() for file in re.findall(r"(?:^|\s)(?:file://)?/(\S+)", value)):
            settings[name.partition(".")[2]] = " ".join(value.split())  # last, and so held: the environment's
    return [f"{name} = {value}" for name, value in settings.items()]
