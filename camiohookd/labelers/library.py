"""The models that are installed, and a new one among them: a folder each with `model.toml`, the model and its licence.

tables ─▶ `to_toml` ─▶ NAME.new/ (model.toml, model.onnx, LICENSE) ─▶ tried out ─▶ NAME/
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camiohookd.errors import ModelError
from camiohookd.labelers.model import FOLDERS, ModelDescription, load_description, read_model

MODEL_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A folder with a `model.toml`; `problem` says why it cannot be used, None when its file is the described one."""

    folder: Path
    description: ModelDescription | None
    size: int
    problem: str | None


def installed(folders: Sequence[Path] = FOLDERS) -> Iterator[InstalledModel]:
    """Every model in `folders`, the one that a name stands for before others of that name."""
    for folder in folders:
        for file in sorted(folder.glob("*/model.toml")):
            yield _inspect(file.parent)


def _inspect(folder: Path) -> InstalledModel:
    description = None
    try:
        description = load_description(folder)
        return InstalledModel(folder, description, len(read_model(folder, description)), None)
    except ModelError as error:
        return InstalledModel(folder, description, 0, str(error))


@contextmanager
def adding(target: Path, model: bytes, licence: bytes | None) -> Iterator[Path]:
    """A new model's folder to be: what is inside the `with` writes its `model.toml` and tries it out.

    At the end it takes the place of `target`, an older one included; after an exception nothing has changed. Raises
    ModelError where the folder cannot be made.
    """
    staging = target.with_name(f".{target.name}.new")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        _make_folder(target.parent)
        staging.mkdir()
        (staging / MODEL_FILE).write_bytes(model)
        if licence is not None:
            (staging / "LICENSE").write_bytes(licence)
    except OSError as error:
        raise ModelError(f"{target}: cannot be made: {error.strerror}; run this as root, or name --into") from error
    try:
        yield staging
        _make_readable(staging)
        if target.exists():
            target.rename(staging.with_suffix(".old"))
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        shutil.rmtree(staging.with_suffix(".old"), ignore_errors=True)


def _make_folder(folder: Path) -> None:
    """That of all models, if it is not there."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _give_to_owner_of(folder.parent, folder)


def _make_readable(folder: Path) -> None:
    """For the daemon's user too, who is not the one that adds models; what is under its own folder is its own."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
        _give_to_owner_of(folder.parent, path)


def _give_to_owner_of(folder: Path, path: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def to_toml(tables: Mapping[str, Any]) -> str:
    """Settings and, one level deep, tables of them as TOML; a JSON string, number or list is one of TOML too."""
    lines = [f"{key} = {_value(value)}" for key, value in tables.items() if not isinstance(value, Mapping)]
    for name, table in tables.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
