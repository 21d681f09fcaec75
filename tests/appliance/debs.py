"""Find the package under test in dist/, and make an older and a newer one from it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from camiohookd.queue.state_folder import FORMAT
from tests.support.checkout import ROOT

OLDER, NEWER = "0.0.9", "9.0.0"


@dataclass(frozen=True)
class Deb:
    path: Path

    def field(self, name: str) -> str:
        done = subprocess.run(["dpkg-deb", "--field", self.path, name], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def unpack(self, folder: Path) -> Path:
        subprocess.run(["dpkg-deb", "--raw-extract", self.path, folder], check=True)
        return folder


def built(architecture: str, folder: Path | None = None) -> Deb | None:
    """Return the newest package in `folder` (default: $CAMIOHOOKD_DIST or dist/); None if there is none."""
    folder = folder or Path(os.environ.get("CAMIOHOOKD_DIST") or ROOT / "dist")
    found = sorted(folder.glob(f"camiohookd_*_{architecture}.deb"), key=lambda file: file.stat().st_mtime)
    return Deb(found[-1]) if found else None


def older(deb: Deb, folder: Path) -> Deb:
    """Pack the same files with a lower version and changed settings, with fast compression."""
    tree = deb.unpack(folder / "older")
    settings = tree / "etc/camiohookd/camiohookd.toml"
    settings.write_text(f"# The settings of version {OLDER}.\n{settings.read_text()}")
    return _packed(deb, tree, OLDER)


def newer(deb: Deb, folder: Path) -> Deb:
    """Pack the same files with a higher version and the next format of the state folder, with fast compression."""
    tree = deb.unpack(folder / "newer")
    module = tree / "usr/lib/camiohookd/lib/python3.11/dist-packages/camiohookd/queue/state_folder.py"
    _replace(module, f"\nFORMAT = {FORMAT}\n", f"\nFORMAT = {FORMAT + 1}\n")
    _replace(tree / "DEBIAN/preinst", f"\nKNOWN='{FORMAT}'", f"\nKNOWN='{FORMAT + 1}'")
    compile_it = "import py_compile, sys; py_compile.compile(sys.argv[1], doraise=True, invalidation_mode=MODE)"
    compile_it = compile_it.replace("MODE", "py_compile.PycInvalidationMode.UNCHECKED_HASH")
    subprocess.run([tree / "usr/lib/camiohookd/bin/python3.11", "-IB", "-c", compile_it, module], check=True)
    return _packed(deb, tree, NEWER)


Changes = dict[str, tuple[str, str]]
"""The (old, new) texts of scripts: "launcher", "trial", "restore", or a maintainer script."""


def variant(deb: Deb, folder: Path, version: str, *changes: Changes) -> Deb:
    """Pack the same files with another version and with `changes`."""
    tree = deb.unpack(folder / f"variant-{version}")
    library = "usr/lib/camiohookd"
    places = {"launcher": "usr/bin/camiohookd", "trial": f"{library}/trial", "restore": f"{library}/restore-queue"}
    for name, (old, new) in (each for some in changes for each in some.items()):
        _replace(tree / places.get(name, f"DEBIAN/{name}"), old, new)
    return _packed(deb, tree, version)


def _packed(deb: Deb, tree: Path, version: str) -> Deb:
    _replace(tree / "DEBIAN/control", f"Version: {deb.field('Version')}\n", f"Version: {version}\n")
    file = tree.with_name(f"camiohookd_{version}_{deb.field('Architecture')}.deb")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, file], check=True)
    return Deb(file)


def _replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file} should hold {old!r}"
    file.write_text(text.replace(old, new))


def changelog_version() -> str:
    return (ROOT / "debian/changelog").read_text().split("(", 1)[1].split(")", 1)[0]
