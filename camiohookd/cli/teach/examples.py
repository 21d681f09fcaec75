"""The pictures that `camiohookd teach` is given ─▶ examples: decoded, with the place that counts.

files, folders, kept events ─▶ pictures ─▶ the zone, or the most probable object of the label ─▶ `Example`
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from camiohookd.config import paths
from camiohookd.errors import CamiohookdError, PictureError
from camiohookd.labelers.taught import crops
from camiohookd.labelers.taught.store import TaughtZone
from camiohookd.labelers.taught.teaching import Example
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection, scaled
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason

if TYPE_CHECKING:
    from camiohookd.labelers.onnx.labeler import OnnxLabeler

ENDINGS = {".jpg", ".jpeg", ".png", ".webp"}
"""Of files that are taken from a folder."""

LEAST_PROBABILITY = 0.25
"""Of an object that is taken as an example: the owner says what it is."""


class Given(NamedTuple):
    """The examples that the command line names: files or folders for each label, and kept events."""

    files: Sequence[tuple[str, Path]]
    events: Sequence[tuple[str, int]]
    folders: Sequence[Path]


class ExampleMaker:
    """Makes examples of pictures: of a zone, or of objects that `labeler` finds."""

    def __init__(self, zone: TaughtZone | None, on: str | None, size: tuple[int, int], limits: PictureLimits) -> None:
        self.notes: list[str] = []
        self._zone = zone
        self._on = on
        self._size = size
        self._limits = limits

    def examples(self, given: Given, labeler: "OnnxLabeler | None") -> list[Example]:
        """Return an example for each picture; `notes` says which were left out. Raises CamiohookdError."""
        made = [
            example
            for label, file in [*_in_label_folders(given.folders), *_files(given.files)]
            if (example := self._of_file(label, file, labeler))
        ]
        for label, number in given.events:
            made += self._of_event(label, number)
        return made

    def _of_file(self, label: str, file: Path, labeler: "OnnxLabeler | None") -> Example | None:
        source = escape(click.format_filename(file))
        try:
            decoded = decode(_read(file, self._limits.max_bytes), self._limits, self._size)
        except PictureError as error:
            self.notes.append(f"{source} is left out: {error}")
            return None
        decoded.release()
        found = labeler.detect(decoded, LEAST_PROBABILITY) if labeler else []
        box = self._box(found, decoded)
        if box is None:
            self.notes.append(f"{source}: no {self._on} is found in it, so the whole picture is taken")
            box = Box(0, 0, decoded.image.width, decoded.image.height)
        return Example(source, label, source, decoded.image, box)

    def _of_event(self, label: str, number: int) -> Iterator[Example]:
        from camiohookd.monitoring.history.kept_event import read_event

        state = paths.state_dir(os.environ)
        try:
            kept = read_event(state, number)
        except OSError as error:
            raise CamiohookdError(f"{error.filename}: cannot be read: {reason(error, error.filename)}") from error
        if kept is None or not kept.thumbnails:
            raise CamiohookdError(
                f"no pictures of event {number} are kept in {state}; the status page shows those that are"
            )
        for nth, jpeg in sorted(kept.thumbnails.items()):
            source = f"event {number} picture {nth + 1}"
            try:
                decoded = decode(jpeg, PictureLimits(), self._size)
            except PictureError as error:
                self.notes.append(f"{source} is left out: {error}")
                continue
            decoded.release()
            stored = kept.event.pictures[nth] if nth < len(kept.event.pictures) else None
            whole = Decoded(decoded.image, stored.width, stored.height) if stored else decoded
            box = self._box(stored.found if stored else (), whole)
            if box is None:
                self.notes.append(f"{source} is left out: no {self._on} was found in it")
            else:
                yield Example(source, label, f"event {number}", decoded.image, box)

    def _box(self, found: Sequence[Detection], decoded: Decoded) -> Box | None:
        """Return the place that counts, in pixels of the decoded image."""
        image = decoded.image
        if self._zone:
            return scaled(crops.bounds(self._zone.polygon), image.width, image.height)
        objects = [each for each in found if each.label == self._on and each.box]
        if not objects:
            return None
        best = max(objects, key=lambda each: each.probability).box
        assert best is not None, "chosen above"
        return scaled(crops.widened(best, crops.MARGIN), image.width / decoded.width, image.height / decoded.height)


def _read(file: Path, most: int) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(most + 1)
    except OSError as error:
        raise PictureError(reason(error, file)) from error


def _files(given: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, Path]]:
    for label, path in given:
        if path.is_dir():
            yield from ((label, file) for file in _pictures(path))
        else:
            yield label, path


def _in_label_folders(folders: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        if not folder.is_dir():
            raise click.UsageError(
                f"{folder}: give --label NAME in front of files, or a folder with a folder per label"
            )
        for label in sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith(".")):
            yield from ((label.name, file) for file in _pictures(label))


def _pictures(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and file.is_file())
