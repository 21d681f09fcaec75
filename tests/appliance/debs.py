"""The packages under test: what build.sh left in dist/, and older ones made of it."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
OLDER = "0.0.9"


@dataclass(frozen=True)
class Deb:
    path: Path

    def field(self, name: str) -> str:
        done = subprocess.run(["dpkg-deb", "--field", self.path, name], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def unpack(self, folder: Path) -> Path:
        subprocess.run(["dpkg-deb", "--raw-extract", self.path, folder], check=True)
        return folder


def built(architecture: str) -> Deb | None:
    """The newest one in dist/, or in the folder that CAMIOHOOKD_DIST names; None if there is none."""
    folder = Path(os.environ.get("CAMIOHOOKD_DIST") or ROOT / "dist")
    found = sorted(folder.glob(f"camiohookd_*_{architecture}.deb"), key=lambda file: file.stat().st_mtime)
    return Deb(found[-1]) if found else None


def older(deb: Deb, folder: Path) -> Deb:
    """The same tree with a lower version, and settings that read otherwise; packed in a hurry."""
    tree = deb.unpack(folder / "older")
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {deb.field('Version')}\n", f"Version: {OLDER}\n"))
    settings = tree / "etc/camiohookd/camiohookd.toml"
    settings.write_text(f"# The settings of version {OLDER}.\n{settings.read_text()}")
    file = folder / f"camiohookd_{OLDER}_{deb.field('Architecture')}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, file], check=True)
    return Deb(file)


def changelog_version() -> str:
    return (ROOT / "debian/changelog").read_text().split("(", 1)[1].split(")", 1)[0]
