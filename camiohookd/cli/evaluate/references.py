"""Read what is in an owner's pictures, if COCO's or YOLO's reference files say it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from camiohookd.errors import CamiohookdError
from camiohookd.pictures.detections import Box, scaled
from camiohookd.system.permissions import reason

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_NAMES_FILES = ("classes.txt", "labels.txt", "obj.names", "coco.names")


class Reference(NamedTuple):
    """One object in a picture: `box` in its pixels, or with `as_fractions` in fractions of it.

    A `crowd` is a place with many objects: finds there count neither way. `area` in pixels is the object's, None for
    the box's.
    """

    label: str
    box: Box
    crowd: bool = False
    area: float | None = None
    as_fractions: bool = False

    def in_pixels(self, width: int, height: int) -> "Reference":
        """Return the reference in pixels of a picture of this size."""
        if not self.as_fractions:
            return self
        return self._replace(box=scaled(self.box, width, height), as_fractions=False)


class Referenced(NamedTuple):
    """The pictures of a folder, and what is in each; `objects` is None if no file says it. `source` names the files."""

    pictures: Sequence[Path]
    objects: Mapping[Path, Sequence[Reference]] | None
    source: str


def read_folder(folder: Path) -> Referenced:
    """Return the pictures in and below `folder` with their references. Raises CamiohookdError.

    COCO's file is a ``.json`` in it or in ``annotations`` (https://cocodataset.org/#format-data). YOLO's files are a
    ``.txt`` for each picture, beside it or in ``labels`` instead of ``images``, with label, center, width and height as
    fractions (https://docs.ultralytics.com/datasets/detect/); ``data.yaml`` or ``classes.txt`` has the names.
    """
    try:
        pictures = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
        for file in sorted([*folder.glob("*.json"), *folder.glob("annotations/*.json")]):
            if (objects := _coco(file, folder)) is not None:
                return Referenced(list(objects), objects, file.name)
        texts = {picture: _text_of(picture) for picture in pictures}
        if any(texts.values()):
            names = _yolo_names(folder)
            found = {picture: _yolo(text, names) if text else () for picture, text in texts.items()}
            return Referenced(pictures, found, "YOLO's files")
    except OSError as error:
        raise CamiohookdError(f"{folder}: cannot be read: {reason(error, folder)}") from error
    return Referenced(pictures, None, "")


class _Image(msgspec.Struct):
    id: int | str
    file_name: str


class _Category(msgspec.Struct):
    id: int
    name: str


class _Annotation(msgspec.Struct):
    image_id: int | str
    category_id: int
    bbox: tuple[float, float, float, float]
    iscrowd: int = 0
    area: float | None = None


class _Coco(msgspec.Struct):
    images: list[_Image]
    annotations: list[_Annotation]
    categories: list[_Category]


def _coco(file: Path, folder: Path) -> dict[Path, list[Reference]] | None:
    """Return the references by picture; None if this is another kind of file. Raises CamiohookdError."""
    try:
        table: Any = json.loads(file.read_bytes())
    except ValueError:
        return None
    if not (isinstance(table, dict) and {"images", "annotations", "categories"} <= table.keys()):
        return None
    try:
        known = msgspec.convert(table, _Coco)
    except msgspec.ValidationError as error:
        raise CamiohookdError(f"{file}: not COCO's reference file: {error}") from error
    names = {category.id: category.name for category in known.categories}
    paths = {image.id: _place(image.file_name, folder) for image in known.images}
    objects: dict[Path, list[Reference]] = {path: [] for path in paths.values() if path is not None}
    for each in known.annotations:
        path = paths.get(each.image_id)
        if path is None:
            continue
        if each.category_id not in names:
            raise CamiohookdError(f"{file}: category {each.category_id} of an annotation is not among the categories")
        left, top, width, height = each.bbox
        box = Box(left, top, left + width, top + height)
        objects[path].append(Reference(names[each.category_id], box, bool(each.iscrowd), each.area))
    return objects or None


def _place(name: str, folder: Path) -> Path | None:
    """Return where a picture is that COCO's file names, None if it is not there."""
    for path in (folder / name, folder / "images" / name, folder / Path(name).name):
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    return None


def _text_of(picture: Path) -> Path | None:
    beside = picture.with_suffix(".txt")
    if beside.is_file() and beside.name not in _NAMES_FILES:
        return beside
    parts = list(picture.parts)
    for nth in range(len(parts) - 2, -1, -1):
        if parts[nth] == "images":
            other = Path(*parts[:nth], "labels", *parts[nth + 1 :]).with_suffix(".txt")
            return other if other.is_file() else None
    return None


def _yolo(file: Path, names: Sequence[str]) -> list[Reference]:
    found = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            label, *numbers = line.split()
            x, y, width, height = (float(each) for each in numbers[:4])
            name = names[int(label)]
        except (ValueError, IndexError):
            raise CamiohookdError(
                f"{file}, line {number}: expected label, center x, y, width and height, such as "
                f'"0 0.5 0.5 0.1 0.2", with a label below {len(names)}, the count of names'
            ) from None
        box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        found.append(Reference(name, box, as_fractions=True))
    return found


def _yolo_names(folder: Path) -> list[str]:
    """Return the names of YOLO's labels. Raises CamiohookdError if no file has them."""
    for place in (folder, folder.parent):
        for file in sorted([*place.glob("*.yaml"), *place.glob("*.yml")]):
            if names := list(_names_in_yaml(file.read_text(encoding="utf-8", errors="replace"))):
                return names
        for name in _NAMES_FILES:
            if (place / name).is_file():
                return (place / name).read_text(encoding="utf-8").splitlines()
    raise CamiohookdError(
        f"{folder}: there are YOLO's files, but no names of their labels: put a classes.txt there, one name per line"
    )


def _names_in_yaml(text: str) -> Iterator[str]:
    """Yield the entries of ``names``, in the three forms in which such files have them; the rest is not read."""
    lines = iter(text.splitlines())
    for line in lines:
        if not (found := re.match(r"names:\s*(.*)", line)):
            continue
        if inner := re.match(r"[\[{](.*)[\]}]", found[1]):
            yield from (_plain(entry) for entry in inner[1].split(",") if entry.strip())
            return
        for entry in lines:
            if not (item := re.match(r"\s*(?:-\s|\d+\s*:)\s*(.+)", entry)):
                return
            yield _plain(item[1])


def _plain(entry: str) -> str:
    return re.sub(r"^\d+\s*:\s*", "", entry.partition(" #")[0].strip()).strip("'\"")
