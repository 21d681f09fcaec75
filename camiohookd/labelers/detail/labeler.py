"""A labeler that looks at tiles of pictures, too: frame → the whole and tiles → the model → merged detections."""

from collections.abc import Iterator, Sequence

from camiohookd.labelers import DEFAULT_REQUEST, Changes, Findings, Frame, Labeler, LabelRequest, Looked
from camiohookd.labelers.detail.merging import Look, merged
from camiohookd.labelers.detail.plan import planned, scaled
from camiohookd.labelers.detail.tiling import Size, decode_size, grid, parts
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection


class Detailed:
    """Looks at pictures as closely as a request says, with a labeler that finds boxes in single pictures.

    Several threads may call `label` at once, as they may call the labeler's.
    """

    def __init__(self, labeler: Labeler) -> None:
        self._labeler = labeler
        self.at_once = labeler.at_once
        self.default_probability = labeler.default_probability

    @property
    def device(self) -> str:
        return self._labeler.device

    @property
    def input_size(self) -> Size:
        return self._labeler.input_size

    def decode_size(self, request: LabelRequest) -> Size:
        return decode_size(request.detail, self.input_size)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        whole = self._labeler.label(frames, request)
        if request.detail == "whole":
            return whole
        pictures, looked = [], []
        for frame, found in zip(frames, whole.pictures, strict=True):
            size = (frame.decoded.width, frame.decoded.height)
            tiles = self._tiles(size, frame.changes, request)
            looks = list(self._looks(frame, tiles, request))
            pictures.append(merged(size, found, looks))
            regions = None if frame.changes is None else tuple(scaled(each, size) for each in frame.changes.regions)
            looked.append(Looked(tuple(look.tile for look in looks), len(tiles), regions))
        return whole._replace(pictures=pictures, looked=looked)

    def close(self) -> None:
        self._labeler.close()

    def _tiles(self, size: Size, changes: Changes | None, request: LabelRequest) -> list[Box]:
        if request.detail == "auto":
            return planned(size, self.input_size, changes)
        columns, rows = parts(request.detail, size, self.input_size)
        return grid(size, columns, rows) if columns * rows > 1 else []

    def _looks(self, frame: Frame, tiles: Sequence[Box], request: LabelRequest) -> Iterator[Look]:
        first = 0
        while first < len(tiles):
            allowed = request.spare(len(tiles))
            last = min(first + (self.at_once or len(tiles)), len(tiles))
            if request.detail == "auto":
                last = min(last, allowed)
            some = tiles[first:last]
            if not some:
                break
            first = last
            found = self._labeler.label([_part(frame, tile) for tile in some], request).pictures
            for tile, each in zip(some, found, strict=True):
                yield Look(tile, [_moved(one, tile) for one in each])


def _part(frame: Frame, tile: Box) -> Frame:
    """Return the frame of a tile alone: a picture of its own, with pixels of the same size."""
    image, width, height = frame.decoded.image, frame.decoded.width, frame.decoded.height
    across, down = image.width / width, image.height / height
    corners = (tile.left * across, tile.top * down, tile.right * across, tile.bottom * down)
    left, top, right, bottom = map(round, corners)
    part = image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))
    return Frame(frame.picture, Decoded(part, round(tile.right - tile.left), round(tile.bottom - tile.top)))


def _moved(found: Detection, tile: Box) -> Detection:
    """Return a detection in a tile as one in the picture."""
    if found.box is None:
        return found
    left, top, right, bottom = found.box
    return found._replace(box=Box(left + tile.left, top + tile.top, right + tile.left, bottom + tile.top))
