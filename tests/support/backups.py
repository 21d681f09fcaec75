"""What the tests of backups share: a box in two folders, and the commands run on it."""

import io
import json
import os
import tarfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from camiohookd import cli

SETTINGS = '# My box.\n[hook]\nquery = "camera == \'front\'"\n\n[[rule]]\ncamera = "front"\nmin_probability = 0.4\n'
KEYS = "camio an-old-key-0123456789-of-a-good-length\n"


@dataclass(frozen=True)
class BoxFolders:
    """A box: its folder of settings and its state folder."""

    top: Path

    @property
    def settings(self) -> Path:
        return self.top / "etc"

    @property
    def state(self) -> Path:
        return self.top / "lib"

    def run(self, *arguments: str | Path, stdin: str = "") -> Result:
        """Run a command on this box; the result has its output, its exit status and its exception."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CAMIO")}
        env: dict[str, str | None] = dict.fromkeys(os.environ.keys() - kept.keys())
        env |= {"CONFIGURATION_DIRECTORY": str(self.settings), "STATE_DIRECTORY": str(self.state)}
        return CliRunner(env=env).invoke(cli.root, [str(each) for each in arguments], input=stdin)

    def files(self) -> dict[str, bytes]:
        """Return every file of the box with its bytes."""
        paths = sorted(path for path in self.top.rglob("*") if path.is_file() and path.name != "lock")
        return {str(path.relative_to(self.top)): path.read_bytes() for path in paths}


def make_box(top: Path) -> BoxFolders:
    """Make a box whose owner has settings, a key, the key of a tunnel, a model and taught labels."""
    box = BoxFolders(top)
    files = {
        box.settings / "camiohookd.toml": SETTINGS,
        box.settings / "api-keys": KEYS,
        box.settings / "tunnel-home.key": "the key of a tunnel\n",
        box.state / "models/mine/model.toml": 'name = "mine"\n',
        box.state / "models/mine/model.onnx": "not a real model\n",
        box.state / "taught/gate.labels": "what the owner taught\n",
        box.state / "graphs/cache": "made for this processor\n",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (box.settings / "api-keys").chmod(0o640)
    return box


def fresh_box(top: Path) -> BoxFolders:
    """Make a box as the installation leaves it: default settings and a key of its own."""
    box = BoxFolders(top)
    box.settings.mkdir(parents=True)
    box.state.mkdir(mode=0o700)
    (box.settings / "camiohookd.toml").write_text("# default settings\n")
    (box.settings / "api-keys").write_text("camio another-key-0123456789-of-a-good-length\n")
    return box


def tar_of(members: dict[str, bytes], **changes: Any) -> bytes:
    """Return a backup with these files, made by hand; `changes` replace fields of its manifest."""
    files = [
        {"name": name, "size": len(data), "sha256": sha256(data).hexdigest(), "mode": 0o600}
        for name, data in members.items()
    ]
    manifest = {
        "format": 1,
        "version": "0.2.0",
        "made": "2026-01-01T00:00:00+00:00",
        "state_format": 3,
        "queue": False,
        "files": files,
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in ({"manifest.json": json.dumps(manifest | changes).encode()} | members).items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return stream.getvalue()
