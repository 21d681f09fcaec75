"""A model's folder: a name or a path → the folder → `model.toml` as a `ModelDescription` → the model's checked bytes.

`models/ssdlite-mobilenet-v2-coco/model.toml` shows every key. Any mistake raises a `ModelError` that names
the file, the key, the given value and what is expected.
"""

import hashlib
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec

from camiohookd.errors import ModelError
from camiohookd.system.permissions import reason, remedy

FOLDERS = (
    Path("/usr/share/camiohookd/models"),
    Path("/var/lib/camiohookd/models"),
    Path(__file__).parents[2] / "models",  # the checkout's
)

_Pixels = Annotated[int, msgspec.Meta(ge=1, le=4096)]
_Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Positive = Annotated[float, msgspec.Meta(gt=0)]


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Input(_Table, frozen=True):
    """The model's picture input: `width` x `height` pixels.

    `layout`: "NCHW" is [batch, 3, height, width], "NHWC" [batch, height, width, 3], "CHW" [3, height, width]. Color
    values are scaled to `range`, then `mean` is subtracted and the result divided by `std`, both in the order of
    `color_order`.

    `resize`: "stretch" does not keep the proportions; "letterbox" does, with the picture at the top left and the rest
    filled with the gray `padding`; "letterbox-centred" puts it in the middle; "crop" cuts off what does not fit.
    """

    name: str
    width: _Pixels
    height: _Pixels
    color_order: Literal["RGB", "BGR"]
    range: Literal["0..255", "0..1", "-1..1"]
    resize: Literal["stretch", "letterbox", "letterbox-centred", "crop"]
    layout: Literal["NCHW", "NHWC", "CHW"] = "NCHW"
    padding: Annotated[int, msgspec.Meta(ge=0, le=255)] = 114
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[_Positive, _Positive, _Positive] = (1.0, 1.0, 1.0)


class Thresholds(_Table, frozen=True):
    """What is reported.

    `score`: the least probability; `iou`: of boxes of one label with a larger intersection over union, only the most
    probable; `max_boxes`: the most boxes of a picture.
    """

    score: _Fraction
    iou: _Fraction
    max_boxes: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


class ModelDescription(_Table, frozen=True):
    """A `model.toml`.

    `file` is the model's name in the same folder, `sha256` its checksum in hexadecimal. `labels` are in the order of
    the model's outputs, "" for an output without a meaning. `outputs` are the names of the graph's outputs by
    their role for the decoder, where they differ from the role; `options` are the decoder's. `constants` are the
    values of the graph's other inputs by their names, for one picture: the input's size for PP-YOLOE, for example.
    `features` are tensors of the graph's backbone that labels are taught with; none: they are found.
    """

    task: Literal["detection", "classification"]
    decoder: Literal["ssd", "yolox", "yolo", "detr", "nanodet", "classify", "listed", "tf_od", "torchvision", "paddle"]
    file: Annotated[str, msgspec.Meta(pattern=r"^[^/]+$")]
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    licence: str
    source: str
    labels: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    input: Input
    thresholds: Thresholds
    outputs: dict[str, str] = msgspec.field(default_factory=dict)
    options: dict[str, Any] = msgspec.field(default_factory=dict)
    constants: dict[str, tuple[float, ...]] = msgspec.field(default_factory=dict)
    features: tuple[str, ...] = ()


def find(name_or_path: str, folders: Sequence[Path] = FOLDERS) -> Path:
    """Return the model's folder: that path, or the first of that name in `folders`. Raises ModelError."""
    path = Path(name_or_path)
    if "/" in name_or_path or path.is_dir():
        if not path.is_dir():
            raise ModelError(f"model {name_or_path}: there is no such folder")
        return path
    looked_in = []
    for folder in folders:
        try:
            if (folder / name_or_path / "model.toml").is_file():
                return folder / name_or_path
            looked_in.append(str(folder))
        except PermissionError:  # the service's folder is private
            looked_in.append(f"{folder} (which cannot be read{remedy(folder)})")
    raise ModelError(
        f"model {name_or_path!r} is not in {', '.join(looked_in)}; give the name of a folder there, or a path"
    )


def load_description(folder: Path) -> ModelDescription:
    """Read and validate the folder's `model.toml`. Raises ModelError."""
    file = folder / "model.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{file}: {error.strerror}; a model's folder holds a model.toml") from error
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {reason(error, file)}") from error
    except ValueError as error:  # not TOML, or not UTF-8
        raise ModelError(f"{file}: not valid TOML: {error}") from error
    try:
        return msgspec.convert(table, ModelDescription)
    except msgspec.ValidationError as error:
        raise ModelError(f"{file}: {_complaint(str(error), table)}") from error


def read_model(folder: Path, description: ModelDescription) -> bytes:
    """Read the model's bytes, and check their SHA-256. Raises ModelError."""
    file = folder / description.file
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file}: {reason(error, file)}; {folder / 'model.toml'} names it as `file`") from error
    actual = hashlib.sha256(data).hexdigest()
    if actual != description.sha256:
        raise ModelError(
            f"{file}: its sha256 is {actual}, {folder / 'model.toml'} expects {description.sha256}; "
            "the file is damaged or was replaced: install the model again"
        )
    return data


def _complaint(message: str, table: dict[str, Any]) -> str:
    """Translate msgspec's ``Expected `int`, got `str` - at `$.input.width` `` to the names in the file."""
    what, _, where = message.partition(" - at `$")
    path = re.findall(r"\w+", where)
    given: Any = table
    kind: Any = ModelDescription
    for key in path:
        given = given[int(key)] if isinstance(given, list) else given[key]
        kind = get_type_hints(kind).get(key) if isinstance(kind, type) else None
    if isinstance(given, dict) and "field `" in what:
        place = f" in [{'.'.join(path)}]" if path else ""
        key = what.rpartition("field ")[2].strip("`")
        if key in kind.__struct_fields__:
            return f"key `{key}` is missing{place}"
        return f"unknown key `{key}`{place}, expected are {', '.join(kind.__struct_fields__)}"
    if what.startswith("Invalid enum value"):
        what = f"expected {' or '.join(repr(choice) for choice in get_args(kind))}"
    return f"{'.'.join(path)} = {given!r}: {what[0].lower()}{what[1:]}"
