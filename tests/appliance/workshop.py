"""Make a fresh Debian to build and test in: a root folder that is not booted, with a clone of the committed files.

It uses this host's settings for apt and pip. As a command, it runs one command line there:

    python3 -m tests.appliance.workshop [--root] RELEASE COMMAND...

mmdebstrap makes the root folder with the packages that the README names. The command runs as a new user, or with
``--root`` as root. The exit status is the command's. This needs root and mmdebstrap.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from ast import literal_eval
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.appliance import roots
from tests.support.checkout import ROOT

BUILDING = ("ca-certificates", "git", "sudo")
"""Packages that a minimal Debian lacks to clone the project and build the package."""

TESTING = ("git", "openssl", "python3-venv")
"""Packages that the README names before ``./build.sh test``."""

USER = "builder"
CERTIFICATES = "usr/local/share/ca-certificates"
APART = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private")
INTO = """
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --rbind /sys "$1/sys"
exec chroot "$1" "${@:2}"
"""


@dataclass(frozen=True)
class Workshop:
    root: Path
    clone: Path

    def types(self, command: str) -> str:
        """Run `command` as the user in the clone, and return its output and errors. If it fails, fail with them."""
        done = self._run(*self._as_user(f"{command} 2>&1"))
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-5000:]}{done.stderr}"
        return done.stdout

    def shows(self, command: str, *, as_root: bool = False) -> int:
        """Run `command` in the clone, as the user or as root, with this process's output. Return its exit status."""
        line = self._as_root(command) if as_root else self._as_user(command)
        return subprocess.run(self._inside(*line), stdin=subprocess.DEVNULL, check=False).returncode

    def as_root(self, *command: str) -> None:
        done = self._run(*command)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"

    def _as_user(self, command: str) -> list[str]:
        user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups"]
        return [*user, "env", f"HOME=/home/{USER}", f"USER={USER}", *self._in_clone(command)]

    def _as_root(self, command: str) -> list[str]:
        return ["env", "HOME=/root", "USER=root", *self._in_clone(command)]

    def _in_clone(self, command: str) -> list[str]:
        return ["bash", "-c", f"cd /{self.clone.relative_to(self.root)} && {command}"]

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._inside(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )

    def _inside(self, *command: str) -> list[str | Path]:
        passed = [f"{name}={value}" for name, value in os.environ.items() if name.lower().endswith("_proxy")]
        passed += ["CI=true"] if os.environ.get("CI") else []
        environ = ["env", "--ignore-environment", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", *passed]
        return [*APART, "bash", "-euc", INTO, "bash", self.root, *environ, *command]


@contextmanager
def workshop(
    release: str, architecture: str, folder: Path, packages: roots.Packages = BUILDING, owner: str = USER
) -> Iterator[Workshop]:
    """Yield a fresh `release` with `packages`, a new user, and a clone that belongs to `owner`."""
    with roots.layer(release, architecture, folder, packages) as root:
        home = root / ("root" if owner == "root" else f"home/{USER}")
        made = Workshop(root, home / "camiohookd")
        made.as_root("useradd", "--create-home", "--shell", "/bin/bash", USER)
        if "sudo" in packages:
            (root / "etc/sudoers.d/builder").write_text(f"{USER} ALL=(root) NOPASSWD: /usr/bin/apt-get\n")
        _reach_packages(root, release)
        if (root / "usr/sbin/update-ca-certificates").exists():  # python3-venv depends on it
            made.as_root("update-ca-certificates")
        subprocess.run(["git", "clone", "--quiet", "--no-local", ROOT, made.clone], check=True)
        made.as_root("chown", "--recursive", f"{owner}:", f"/{home.relative_to(root)}")
        yield made


def _reach_packages(root: Path, release: str) -> None:
    (root / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
    (root / "etc/apt/apt.conf.d/50host").write_text("\n".join(roots.apt_options()))
    suites = {"Debian": (release, f"{release}-updates"), "Debian-Security": (f"{release}-security",)}
    lines = (f"deb {url} {suite} main\n" for label in suites for url in roots.mirror(label) for suite in suites[label])
    (root / "etc/apt/sources.list").write_text("".join(lines))
    for file in Path("/", CERTIFICATES).glob("*.crt"):
        (root / CERTIFICATES).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / CERTIFICATES)
    (root / "etc/pip.conf").write_text("\n".join(["[global]", *_pip_settings(root), ""]))


def _pip_settings(root: Path) -> list[str]:
    """Return the settings of this host's pip, without those that name files missing in `root`."""
    told = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    settings = {}
    for name, text in sorted(re.findall(r"^((?:global|:env:)\.\S+?)=(.*)$", told.stdout, re.MULTILINE), reverse=True):
        value = str(literal_eval(text))
        if all((root / file).exists() for file in re.findall(r"(?:^|\s)(?:file://)?/(\S+)", value)):
            settings[name.partition(".")[2]] = " ".join(value.split())  # the environment's come last and override
    return [f"{name} = {value}" for name, value in settings.items()]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.appliance.workshop", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--root", action="store_true", help="run the command as root instead of as a new user")
    parser.add_argument("release", help="bookworm or trixie")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run in the clone, with its arguments")
    told = parser.parse_args()
    told_architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)
    architecture = told_architecture.stdout.strip()
    owner = "root" if told.root else USER
    with (
        tempfile.TemporaryDirectory(prefix="camiohookd-workshop.") as folder,
        workshop(told.release, architecture, Path(folder, "layer"), TESTING, owner) as here,
    ):
        return here.shows(shlex.join(told.command), as_root=told.root)


if __name__ == "__main__":
    sys.exit(main())
