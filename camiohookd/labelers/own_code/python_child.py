"""Runs an owner's compute_labels in a process of its own: requests on standard input, answers on standard output.

Started as "INTERPRETER python_child.py SCRIPT", under any Python from 3.8 on and with only its standard library, so it
imports nothing of camiohookd. examples/own-labels.md describes the messages.
"""

import base64
import hashlib
import io
import json
import math
import os
import struct
import sys
import traceback
import types
from typing import Any, BinaryIO, Callable, Dict, List, Optional, Tuple

ComputeLabels = Callable[[List[Dict[str, Any]]], Any]

MAX_REMEMBERED = 1000
"""Most events whose traceback was printed that are remembered, so that a retry does not print it again."""


def main(script: str) -> None:
    # Replaces this file's folder, whose modules are not meant for the script.
    sys.path[0] = os.path.dirname(script)
    requests, answers = _take_the_pipe()
    tracebacks = Tracebacks()
    compute_labels, complaint = _load(script)
    while True:
        head = requests.read(4)
        if len(head) < 4:
            return
        message = requests.read(struct.unpack(">I", head)[0])
        if compute_labels is None:
            answer = {"error": complaint}
        else:
            answer = _answer(script, compute_labels, message, tracebacks)
        data = json.dumps(answer).encode("utf-8")
        answers.write(struct.pack(">I", len(data)) + data)
        answers.flush()


class Tracebacks:
    """Prints the traceback of an exception to standard error, once for each event: the daemon retries events."""

    def __init__(self) -> None:
        self._printed: Dict[bytes, None] = {}

    def show(self, error: BaseException, message: bytes) -> None:
        """Print the traceback unless one was printed for the same message."""
        event = hashlib.sha256(message).digest()
        if event in self._printed:
            return
        while len(self._printed) >= MAX_REMEMBERED:
            del self._printed[next(iter(self._printed))]
        self._printed[event] = None
        traceback.print_exception(type(error), error, error.__traceback__)


def _take_the_pipe() -> Tuple[BinaryIO, BinaryIO]:
    """Return both ends of the pipe, and keep the script away from them: its output goes to standard error."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    return requests, answers


def _load(script: str) -> Tuple[Optional[ComputeLabels], str]:
    """Return compute_labels, or None and what is wrong with the script."""
    module = sys.modules["labeler"] = types.ModuleType("labeler")
    module.__file__ = script
    try:
        with open(script, "rb") as file:
            code = compile(file.read(), script, "exec")
        # Not imported: that would leave a __pycache__ beside the script.
        exec(code, module.__dict__)  # noqa: S102  # the owner's own code
    except SyntaxError as error:
        return None, f"{error.filename}, line {error.lineno}: {error.msg}"
    except BaseException as error:  # noqa: BLE001  # whatever the owner's code does, SystemExit too
        traceback.print_exception(type(error), error, error.__traceback__)
        return None, _place(script, error)
    compute_labels = getattr(module, "compute_labels", None)
    if not callable(compute_labels):
        return None, f"{script}: it defines no function compute_labels(images)"
    return compute_labels, ""


def _answer(script: str, compute_labels: ComputeLabels, message: bytes, tracebacks: Tracebacks) -> Dict[str, Any]:
    images = json.loads(message.decode("utf-8"))["images"]
    if not images:
        return {"labels": {}}
    try:
        shown = [_as_documented(image) for image in images]
        given = list(shown)  # compute_labels may change its list
        labels = compute_labels(shown)
    except BaseException as error:  # noqa: BLE001  # whatever the owner's code does, SystemExit too
        tracebacks.show(error, message)
        return {"error": _place(script, error)}
    code = getattr(compute_labels, "__code__", None)
    where = f"{script}, line {code.co_firstlineno}" if code else script
    try:
        answer = {"labels": _plain(labels, "what compute_labels returned"), "where": where}
        if "detections" in images[0]:  # this labeler comes after others
            answer["detections"] = [
                _plain(image.get("detections"), f'image {nth}["detections"]') for nth, image in enumerate(given)
            ]
        return answer
    except ValueError as error:
        return {"error": f"{where}: {error}"}


def _as_documented(image: Dict[str, Any]) -> Dict[str, Any]:
    """Add `image`: the upright picture where this Python has Pillow, else the file's bytes."""
    data = base64.b64decode(image["image_b64"])
    try:
        from PIL import Image, ImageOps
    except ImportError:
        return dict(image, image=data)
    return dict(image, image=ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


def _place(script: str, error: BaseException) -> str:
    """Return the line in the script that led to the error, and the error."""
    frames = traceback.extract_tb(error.__traceback__)
    last = ([frame for frame in frames if frame.filename == script] or frames)[-1]
    return f"{last.filename}, line {last.lineno}: {type(error).__name__}: {' '.join(str(error).split())}"


def _plain(value: Any, place: str) -> Any:
    """Convert numpy's values to dicts, lists, strings and numbers; ValueError for what cannot be sent."""
    if hasattr(value, "tolist"):  # numpy's numbers and arrays
        value = value.tolist()
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{place} has the key {key!r}, which is not a string")
        return {key: _plain(each, f"{place}[{key!r}]") for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each, f"{place}[{nth}]") for nth, each in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{place} is {value}, expected a number from 0 to 1")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{place} is a {type(value).__name__}, expected a dict, list, string or number")


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]))
