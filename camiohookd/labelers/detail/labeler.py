"""A labeler that looks at tiles of pictures, too: frame → the whole and tiles → the model → merged detections."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from camiohookd.labelers import DEFAULT_REQUEST, ChangedRegions, Findings, Frame, Labeler, LabelRequest, Looked
from camiohookd.labelers.detail.merging import Look, merged
from camiohookd.labelers.detail.plan import planned
from camiohookd.labelers.detail.tiling import Size, decode_size, grid, parts
from camiohookd.pictures.decode import Decoded
from camiohookd.pictures.detections import Box, Detection, moved, scaled


class Detailed:
    """Looks at pictures as closely as a request says, with a labeler that finds boxes in single pictures.

    Several threads may call `label` at once, as they may call the labeler's. With more than one of `threads`, the tiles
    of a picture are shared between so many, if the labeler takes one picture at a time.
    """

    def __init__(self, labeler: Labeler, threads: int = 1) -> None:
        self._labeler = labeler
        is_shared = threads > 1 and labeler.at_once == 1
        self._pool = ThreadPoolExecutor(threads, "tile") if is_shared else None
        self.at_once = labeler.at_once
        self.default_probability = labeler.default_probability

    @property
    def device(self) -> str:
        return self._labeler.device

    @property
    def input_size(self) -> Size:
        return self._labeler.input_size

    def decode_size(self, request: LabelRequest) -> Size:
        if request.detail == "whole" or (request.detail == "auto" and not request.spare(1)):
            return self._labeler.decode_size(request)  # no tile is looked at: with auto, because other events wait
        return decode_size(request.detail, self.input_size)

    def label(self, frames: Sequence[Frame], request: LabelRequest = DEFAULT_REQUEST) -> Findings:
        whole = self._labeler.label(frames, request)
        if request.detail == "whole":
            return whole
        pictures, looked = [], []
        for frame, found in zip(frames, whole.pictures, strict=True):
            size = (frame.decoded.width, frame.decoded.height)
            tiles = self._tiles(size, frame.changes, request)
            looks = self._looks(frame, tiles, request) if self._has_pixels(frame.decoded, request) else []
            pictures.append(merged(size, found, looks))
            regions = None if frame.changes is None else tuple(scaled(each, *size) for each in frame.changes.regions)
            looked.append(Looked(tuple(look.tile for look in looks), len(tiles), regions))
        return whole._replace(pictures=pictures, looked=looked)

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._labeler.close()

    def _has_pixels(self, picture: Decoded, request: LabelRequest) -> bool:
        """Return whether a picture was decoded for tiles: others may have waited then, and not any more."""
        wanted = decode_size(request.detail, self.input_size)
        is_full = (picture.image.width, picture.image.height) == (picture.width, picture.height)
        return is_full or (picture.image.width >= wanted[0] and picture.image.height >= wanted[1])

    def _tiles(self, size: Size, changes: ChangedRegions | None, request: LabelRequest) -> list[Box]:
        if request.detail == "auto":
            return planned(size, self.input_size, changes)
        columns, rows = parts(request.detail, size, self.input_size)
        return grid(size, columns, rows) if columns * rows > 1 else []

    def _looks(self, frame: Frame, tiles: Sequence[Box], request: LabelRequest) -> list[Look]:
        """Look at the tiles, as many at once as the labeler takes, or on all threads."""
        if self._pool and len(tiles) > 1:
            looks = self._pool.map(lambda nth: self._some_looks(frame, tiles, nth, nth + 1, request), range(len(tiles)))
            return [look for some in looks for look in some]
        found: list[Look] = []
        step = self.at_once or len(tiles) or 1
        for first in range(0, len(tiles), step):
            some = self._some_looks(frame, tiles, first, first + step, request)
            if not some:
                break
            found += some
        return found

    def _some_looks(
        self, frame: Frame, tiles: Sequence[Box], first: int, last: int, request: LabelRequest
    ) -> list[Look]:
        """Look at the tiles from number `first` to `last`, or as far as there is time."""
        allowed = request.spare(len(tiles))
        some = tiles[first : min(last, allowed) if request.detail == "auto" else last]
        if not some:
            return []
        found = self._labeler.label([_part(frame, tile) for tile in some], request).pictures
        return [Look(tile, [_moved(one, tile) for one in each]) for tile, each in zip(some, found, strict=True)]


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
    return found if found.box is None else found._replace(box=moved(found.box, tile.left, tile.top))
