"""Installed models, and adding one: each is a folder with `model.toml`, the model and its license.

tables ─▶ `to_toml` ─▶ NAME.new/ (model.toml, model.onnx, LICENSE) ─▶ tried out ─▶ NAME/
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camiohookd.errors import ModelError
from camiohookd.labelers.model import FOLDERS, ModelDescription, load_description, read_model
from camiohookd.system.permissions import give_to_owner_of, reason

MODEL_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A folder with a `model.toml`; `problem` says why it cannot be used, None if it can."""

    folder: Path
    description: ModelDescription | None
    size: int
    problem: str | None


def installed(folders: Sequence[Path] = FOLDERS) -> Iterator[InstalledModel]:
    """Yield every model in `folders`; of models with the same name, the one that is used comes first."""
    for folder in folders:
        for file in sorted(folder.glob("*/model.toml")):
            yield _inspect(file.parent)


def closed_folders(folders: Sequence[Path] = FOLDERS) -> list[Path]:
    """Return those of `folders` whose models this user may not see: only the service may read its own."""
    return [folder for folder in folders if _is_closed(folder)]


def _is_closed(folder: Path) -> bool:
    try:
        next(folder.iterdir(), None)
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _inspect(folder: Path) -> InstalledModel:
    description = None
    try:
        description = load_description(folder)
        return InstalledModel(folder, description, len(read_model(folder, description)), None)
    except ModelError as error:
        return InstalledModel(folder, description, 0, str(error))


@contextmanager
def adding(target: Path, model: bytes, license_text: bytes | None) -> Iterator[Path]:
    """Make a temporary folder for a new model, in which the `with` block writes `model.toml` and tries the model out.

    At the end it replaces `target`; after an exception nothing has changed. Raises ModelError if the folder cannot be
    made.
    """
    staging = target.with_name(f".{target.name}.new")
    try:
        shutil.rmtree(staging, ignore_errors=True)
        _make_folder(target.parent)
        staging.mkdir()
        (staging / MODEL_FILE).write_bytes(model)
        if license_text is not None:
            (staging / "LICENSE").write_bytes(license_text)
    except OSError as error:
        why = reason(error, target)
        raise ModelError(f"{target}: cannot be made: {why}; --into adds the model to another folder") from error
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
    """Make the folder of all models if it does not exist."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        give_to_owner_of(folder.parent, folder)


def _make_readable(folder: Path) -> None:
    """Let the daemon's user read the files; what is under its own folder belongs to it."""
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
        give_to_owner_of(folder.parent, path)


def to_toml(tables: Mapping[str, Any]) -> str:
    """Write settings and, one level deep, tables as TOML; JSON strings, numbers and lists are valid TOML, too."""
    lines = [f"{key} = {_value(value)}" for key, value in tables.items() if not isinstance(value, Mapping)]
    for name, table in tables.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{name}]", *(f"{_key(key)} = {_value(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
