"""Read what an exporter wrote into a model's file: Ultralytics' names, task, input size and license."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from camiohookd.errors import ModelError

_REFUSED = {
    "pose": "a pose model: it finds the joints of a body, which are not supported",
    "obb": "a model for rotated boxes, which are not supported",
    "semantic": "a semantic segmentation model: it labels pixels and finds no objects",
    "depth": "a depth model: it estimates distances and finds no objects",
}


@dataclass(frozen=True, slots=True)
class Metadata:
    """`names` are empty, `task`, `size` (width, height) and `licence` None if the file does not contain them.

    `end_to_end` is whether the file says that the model suppresses overlapping boxes itself. The input's sides are
    multiples of `stride` pixels. `head` is the name of the module that makes the outputs, "" if it is not told.
    """

    names: tuple[str, ...] = ()
    task: str | None = None
    size: tuple[int, int] | None = None
    licence: str | None = None
    end_to_end: bool | None = None
    stride: int = 1
    head: str = ""


def read_metadata(texts: Mapping[str, str]) -> Metadata:
    """Read the texts by name that are in a model's file; ignore those that are unknown.

    Ultralytics' exporter writes them (https://docs.ultralytics.com/modes/export/; `ultralytics/engine/exporter.py`):
    ``names`` as ``{0: 'person', 1: 'bicycle'}``, ``imgsz`` as ``[height, width]``.
    """
    task = texts.get("task") or None
    arguments = _literal(texts.get("args", ""))
    end_to_end = _literal(texts.get("end2end", ""))
    if isinstance(arguments, dict) and arguments.get("nms") is True:
        end_to_end = True
    return Metadata(
        names=_names(texts.get("names", "")),
        task=task,
        size=_size(texts.get("imgsz", "")),
        licence=(texts.get("license") or "").partition(" License")[0].strip() or None,
        end_to_end=end_to_end if isinstance(end_to_end, bool) else None,
        stride=max(stride, 1) if isinstance(stride := _literal(texts.get("stride", "")), int) else 1,
        head=texts.get("head") or "",
    )


def refuse_other_tasks(metadata: Metadata) -> None:
    """Raise ModelError if the file says that the model has a task that is not supported."""
    if what := _REFUSED.get(metadata.task or ""):
        raise ModelError(
            f"the model is {what} (its file says: task {metadata.task}); export a model for detection or classification"
        )


def _names(text: str) -> tuple[str, ...]:
    names = _literal(text)
    if isinstance(names, dict):
        if not all(isinstance(key, int) for key in names):
            return ()
        names = [names[key] for key in sorted(names)]
    return tuple(map(str, names)) if isinstance(names, list | tuple) else ()


def _size(text: str) -> tuple[int, int] | None:
    match _literal(text):
        case [int(height), int(width)] if 0 < height <= 4096 and 0 < width <= 4096:
            return width, height
        case int(side) if 0 < side <= 4096:
            return side, side
    return None


def _literal(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
