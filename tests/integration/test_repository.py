"""``./build.sh repository``: apt itself reads what it makes, from a web server, and refuses what was changed.

The packages are small stand-ins. tests/appliance/test_repository.py installs the real one on booted machines.
"""

import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.support.checkout import ROOT
from tests.support.file_server import serving

NEEDED = {"apt-get": "apt", "apt-ftparchive": "apt-utils", "dpkg-deb": "dpkg", "gpg": "gpg", "xz": "xz-utils"}
MISSING = sorted({package for program, package in NEEDED.items() if shutil.which(program) is None})

pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"NOT TESTED: the apt repository, because packages are missing (apt install {' '.join(MISSING)})",
)


@dataclass
class Publisher:
    """Builds packages and publishes them in the folder `repository`; gpg's folder is `keys`."""

    folder: Path
    keys: Path
    key: str

    @property
    def repository(self) -> Path:
        return self.folder / "repository"

    def build(self, version: str, *, text: str = "") -> None:
        """Make a stand-in for the package of both architectures in the folder of packages."""
        for architecture in ("amd64", "arm64"):
            tree = self.folder / "tree"
            (tree / "DEBIAN").mkdir(parents=True)
            (tree / "DEBIAN/control").write_text(
                f"Package: camiohookd\nVersion: {version}\nArchitecture: {architecture}\n"
                f"Maintainer: nobody <nobody@example.org>\nDescription: stand-in\n{text}"
            )
            target = self.folder / f"dist/camiohookd_{version}_{architecture}.deb"
            target.parent.mkdir(exist_ok=True)
            command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(tree), str(target)]
            subprocess.run(command, check=True, capture_output=True)
            shutil.rmtree(tree)

    def publish(self, *options: str, key: str = "") -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "GNUPGHOME": str(self.keys), "CAMIOHOOKD_DIST": str(self.folder / "dist")}
        build = str(ROOT / "build.sh")
        command = [build, "repository", "--key", key or self.key, "--into", str(self.repository), *options]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    def publishes(self, *options: str) -> None:
        done = self.publish(*options)
        assert done.returncode == 0, done.stderr


@dataclass
class Box:
    """A box whose apt knows only the repository; it needs no root."""

    folder: Path

    def apt(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            ["apt-get", *self._options(), *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "LC_ALL": "C", "APT_CONFIG": str(self._config())},
        )
        return done.returncode, done.stdout + done.stderr

    def update(self) -> tuple[int, str]:
        return self.apt("update", "--error-on=any")

    def _options(self) -> list[str]:
        # Root would become the user _apt, which cannot enter this folder.
        return ["-o", "APT::Sandbox::User=root"]

    def _config(self) -> Path:
        config = self.folder / "apt.conf"
        places = {
            "Dir::State": "state",
            "Dir::State::status": "status",
            "Dir::Cache": "cache",
            "Dir::Etc": "etc",
            "Dir::Etc::Trusted": "none",
            "Dir::Etc::TrustedParts": "none",
            "Dir::Log": "log",
        }
        lines = [f'{name} "{self.folder / path}";' for name, path in places.items()]
        config.write_text("\n".join([*lines, 'APT::Architecture "amd64";', 'APT::Architectures { "amd64"; };', ""]))
        return config


@pytest.fixture(scope="module")
def keys() -> Iterator[tuple[Path, str]]:
    """Yield a folder of gpg with a key, and the key's fingerprint. Its path is short, as gpg's agent needs it."""
    with TemporaryDirectory(prefix="gpg", dir="/tmp") as name:
        yield Path(name), new_key(Path(name), "Publisher")
        subprocess.run(["gpgconf", "--kill", "all"], env={**os.environ, "GNUPGHOME": name}, check=False)


def new_key(folder: Path, name: str, *options: str, expires: str = "never") -> str:
    command = ["gpg", "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback", *options]
    environ = {**os.environ, "GNUPGHOME": str(folder)}
    subprocess.run(
        [*command, "--quick-gen-key", name, "ed25519", "sign", expires], env=environ, capture_output=True, check=True
    )
    listed = subprocess.run(
        ["gpg", "--batch", "--with-colons", "--list-keys", name],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    return next(line.split(":")[9] for line in listed.stdout.splitlines() if line.startswith("fpr:"))


@pytest.fixture
def publisher(tmp_path: Path, keys: tuple[Path, str]) -> Publisher:
    return Publisher(tmp_path, *keys)


@pytest.fixture
def box(tmp_path: Path, publisher: Publisher) -> Iterator[Box]:
    """Yield a box that has the repository's sources file and key in place; a web server serves the repository."""
    publisher.repository.mkdir()
    with serving(publisher.repository) as url:
        publisher.build("1.0.0")
        publisher.publishes("--url", f"{url}/")
        here = Box(tmp_path / "box")
        for name in ("state/lists/partial", "cache/archives/partial", "etc/sources.list.d", "etc/apt.conf.d", "log"):
            (here.folder / name).mkdir(parents=True)
        (here.folder / "status").touch()
        key = here.folder / "camiohookd.asc"
        shutil.copy(publisher.repository / "camiohookd.asc", key)
        sources = (publisher.repository / "camiohookd.sources").read_text()
        (here.folder / "etc/sources.list.d/camiohookd.sources").write_text(
            sources.replace("/usr/share/keyrings/camiohookd.asc", str(key))
        )
        yield here


def test_apt_finds_upgrades_and_earlier_versions_of_the_last_three(publisher: Publisher, box: Box) -> None:
    assert box.update()[0] == 0
    for version in ("1.1.0", "1.9.0", "1.10.0"):
        publisher.build(version)
        publisher.publishes()
    assert box.update()[0] == 0
    _, said = box.apt("install", "--simulate", "camiohookd")
    assert "Inst camiohookd (1.10.0 camiohookd:stable [amd64])" in said
    status, said = box.apt("download", "camiohookd", "camiohookd=1.9.0", "camiohookd=1.1.0")
    assert status == 0, said
    assert box.apt("download", "camiohookd=1.0.0")[0] != 0
    assert len(list((publisher.repository / "pool/main/c/camiohookd").iterdir())) == 6  # of two architectures
    release = (publisher.repository / "dists/stable/Release").read_text()
    assert "Architectures: amd64 arm64" in release
    assert "Acquire-By-Hash: yes" in release


def test_a_client_that_read_the_release_before_an_update_still_gets_the_indexes_that_it_names(
    publisher: Publisher, box: Box
) -> None:
    folder = publisher.repository / "dists/stable/main/binary-amd64"
    old = (folder / "Packages.xz").read_bytes()
    publisher.build("1.1.0")
    publisher.publishes()
    by_hash = [path.read_bytes() for path in (folder / "by-hash/SHA256").iterdir()]
    assert old in by_hash
    assert (folder / "Packages.xz").read_bytes() in by_hash
    for number in range(2, 4):
        publisher.build(f"1.{number}.0")
        publisher.publishes()
    assert len(list((folder / "by-hash/SHA256").iterdir())) == 6  # three generations of two files


def test_a_changed_index_is_refused(publisher: Publisher, box: Box) -> None:
    folder = publisher.repository / "dists/stable/main/binary-amd64"
    text = lzma.decompress((folder / "Packages.xz").read_bytes()).replace(b"stand-in", b"replaced")
    for path in [folder / "Packages", folder / "Packages.xz", *(folder / "by-hash/SHA256").iterdir()]:
        path.write_bytes(text if path.read_bytes()[:1] == b"P" else lzma.compress(text))
    status, said = box.update()
    assert status != 0
    assert "Hash Sum mismatch" in said or "unexpected size" in said, said


def test_a_changed_release_is_refused(publisher: Publisher, box: Box) -> None:
    release = publisher.repository / "dists/stable/InRelease"
    release.write_text(release.read_text().replace("Label: camiohookd", "Label: camiohook_"))
    status, said = box.update()
    assert status != 0
    assert "invalid" in said or "BADSIG" in said, said


def test_a_changed_package_is_refused(publisher: Publisher, box: Box) -> None:
    assert box.update()[0] == 0
    (deb,) = publisher.repository.glob("pool/main/c/camiohookd/*_amd64.deb")
    data = deb.read_bytes()
    deb.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    status, said = box.apt("download", "camiohookd")
    assert status != 0
    assert "Hash Sum mismatch" in said, said


def test_signatures_of_another_key_and_of_an_expired_one_are_refused(
    publisher: Publisher, box: Box, keys: tuple[Path, str]
) -> None:
    other = new_key(keys[0], "Somebody else")
    assert publisher.publish(key=other).returncode == 0
    status, said = box.update()
    assert status != 0
    assert "NO_PUBKEY" in said or "Missing key" in said, said

    past = "--faked-system-time=20200101T000000!"
    expired = new_key(keys[0], "Of long ago", past, expires="1y")
    gpg = publisher.folder / "programs/gpg"
    gpg.parent.mkdir()
    gpg.write_text(f'#!/bin/sh\nexec {shutil.which("gpg")} {past} "$@"\n')
    gpg.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{gpg.parent}:{os.environ['PATH']}")
        assert publisher.publish(key=expired).returncode == 0
    shutil.copy(publisher.repository / "camiohookd.asc", box.folder / "camiohookd.asc")
    status, said = box.update()
    assert status != 0
    assert "EXPKEYSIG" in said or "expired" in said, said


def test_a_repository_that_is_older_than_it_may_be_is_refused(publisher: Publisher, box: Box) -> None:
    publisher.publishes("--valid-for", "1")
    assert "Valid-Until:" in (publisher.repository / "dists/stable/Release").read_text()
    assert box.update()[0] == 0
    folder = publisher.repository / "dists/stable"
    long_ago = "Valid-Until: Wed, 01 Jan 2020 00:00:00 UTC"
    release = re.sub("(?m)^Valid-Until: .*", long_ago, (folder / "Release").read_text())
    (folder / "Release").write_text(release)
    sign = ["gpg", "--batch", "--yes", "--output", str(folder / "InRelease"), "--clearsign", str(folder / "Release")]
    subprocess.run(sign, env={**os.environ, "GNUPGHOME": str(publisher.keys)}, check=True, capture_output=True)
    later = (folder / "Release").stat().st_mtime + 60  # apt asks for what is newer, to the second
    os.utime(folder / "InRelease", (later, later))
    status, said = box.update()
    assert status != 0
    assert "is expired" in said, said


def test_a_published_version_cannot_change(publisher: Publisher, box: Box) -> None:
    publisher.build("1.0.0", text=" other contents\n")
    refused = publisher.publish()
    assert refused.returncode == 1
    assert "raise the version in debian/changelog" in refused.stderr


def test_a_mistake_is_reported_in_one_line(publisher: Publisher) -> None:
    assert "no secret key NOBODY" in publisher.publish(key="NOBODY").stderr
    assert "there is no package in dist/" in publisher.publish().stderr
    assert "--url: expected https://" in publisher.publish("--url", "ftp://x").stderr
    assert "expected a number of days" in publisher.publish("--valid-for", "week").stderr


def test_the_line_for_unattended_upgrades_names_the_origin_of_the_repository(publisher: Publisher, box: Box) -> None:
    told = (publisher.repository / "52camiohookd-unattended-upgrades").read_text()
    assert '"origin=camiohookd,label=camiohookd";' in told
    release = (publisher.repository / "dists/stable/Release").read_text()
    assert {"Origin: camiohookd", "Label: camiohookd"} <= set(release.splitlines())
