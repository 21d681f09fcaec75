"""A labeler that looks at tiles, too, finds what is too small for it in the whole picture."""

import io
import threading

import pytest
from PIL import Image

from camiohookd.config.detail import Detail
from camiohookd.errors import LabelingError
from camiohookd.labelers import ChangedRegions, Frame, LabelRequest
from camiohookd.labelers.detail.labeler import Detailed
from camiohookd.labelers.detail.tiling import decode_size
from camiohookd.pictures.decode import Decoded, PictureLimits, decode
from camiohookd.pictures.detections import Box
from camiohookd.wire.images import Picture
from tests.support.square_finder import SquareFinder, scene

SIZE = (400, 300)
PATIENCE = 30.0
SQUARE = (310, 40, 15)
"""Four pixels wide in the whole picture, and six and more in a tile of half of it."""


def frame(*squares: tuple[int, int, int]) -> Frame:
    return Frame(Picture("t1", b""), Decoded(scene(SIZE, *squares), *SIZE))


def looked_at(detail: Detail, *squares: tuple[int, int, int]) -> tuple[list[Box | None], int]:
    """Return the boxes that are found, and how often the labeler looked."""
    finder = SquareFinder()
    findings = Detailed(finder).label([frame(*squares)], LabelRequest(detail=detail))
    return [each.box for each in findings.pictures[0]], len(finder.looks)


@pytest.mark.parametrize(("detail", "looks"), [("whole", 1), ("2x2", 5), ("3x3", 10), ("tiles", 1 + 4 * 3)])
def test_looks_at_the_whole_and_at_each_tile(detail: Detail, looks: int) -> None:
    assert looked_at(detail)[1] == looks


def test_finds_in_a_tile_what_is_too_small_in_the_whole_picture_and_places_it_in_the_picture() -> None:
    assert looked_at("whole", SQUARE)[0] == []
    (box,) = looked_at("2x2", SQUARE)[0]
    assert box == pytest.approx((310, 40, 325, 55), abs=4)


def test_says_at_which_tiles_it_looked() -> None:
    detailed = Detailed(SquareFinder())
    (looked,) = detailed.label([frame()], LabelRequest(detail="2x2")).looked
    assert len(looked.tiles) == looked.planned == 4
    assert detailed.label([frame()]).looked == ()


def test_boxes_are_in_the_full_pictures_pixels_if_it_was_decoded_smaller() -> None:
    half = Frame(Picture("t1", b""), Decoded(scene(SIZE, SQUARE).resize((200, 150)), *SIZE))
    findings = Detailed(SquareFinder(least=4)).label([half], LabelRequest(detail="2x2"))
    (found,) = findings.pictures[0]
    assert found.box == pytest.approx((310, 40, 325, 55), abs=5)


def test_asks_for_a_picture_as_large_as_the_tiles_need() -> None:
    detailed = Detailed(SquareFinder())
    assert detailed.decode_size(LabelRequest()) == (100, 100)
    assert detailed.decode_size(LabelRequest(detail="2x2")) == (175, 175)


def test_auto_stops_between_tiles_when_others_begin_to_wait() -> None:
    finder = SquareFinder()
    allowed = iter([12, 6, 2, 2])
    request = LabelRequest(detail="auto", spare=lambda _: next(allowed))
    (looked,) = Detailed(finder).label([frame()], request).looked
    assert (len(looked.tiles), looked.planned) == (2, 12)
    assert len(finder.looks) == 1 + 2


def test_auto_looks_first_where_the_picture_differs_from_the_others() -> None:
    around = Box(SQUARE[0] / SIZE[0], SQUARE[1] / SIZE[1], (SQUARE[0] + 15) / SIZE[0], (SQUARE[1] + 15) / SIZE[1])
    changed = frame(SQUARE)._replace(changes=ChangedRegions((around,), 0, 12))
    findings = Detailed(SquareFinder()).label([changed], LabelRequest(detail="auto", spare=lambda _: 1))
    (found,) = findings.pictures[0]
    assert found.box == pytest.approx((310, 40, 325, 55), abs=4)
    (looked,) = findings.looked
    assert len(looked.tiles) == 1
    assert looked.regions is not None
    assert looked.regions[0] == pytest.approx((310, 40, 325, 55))


def test_all_tiles_that_were_asked_for_are_looked_at_whatever_waits() -> None:
    (looked,) = Detailed(SquareFinder()).label([frame()], LabelRequest(detail="3x3", spare=lambda _: 0)).looked
    assert len(looked.tiles) == 9


def test_several_threads_share_the_tiles_of_a_picture_and_find_the_same() -> None:
    alone, shared = SquareFinder(), SquareFinder()
    meeting = threading.Barrier(2)
    shared.before_look = lambda: meeting.wait(PATIENCE) if len(shared.looks) else None
    detailed = Detailed(shared, threads=2)
    request = LabelRequest(detail="2x2")
    assert detailed.label([frame(SQUARE)], request) == Detailed(alone).label([frame(SQUARE)], request)
    assert len(shared.looks) == 1 + 4
    detailed.close()


def test_what_gives_the_event_up_ends_the_look_on_every_thread() -> None:
    def give_up(_: int) -> int:
        raise LabelingError("the daemon stops")

    detailed = Detailed(SquareFinder(), threads=2)
    with pytest.raises(LabelingError, match="stops"):
        detailed.label([frame()], LabelRequest(detail="2x2", spare=give_up))
    detailed.close()


def test_a_picture_is_decoded_small_while_others_wait_and_then_not_looked_at_in_tiles() -> None:
    detailed = Detailed(SquareFinder())
    assert detailed.decode_size(LabelRequest(detail="auto", spare=lambda _: 0)) == (100, 100)
    assert detailed.decode_size(LabelRequest(detail="auto")) == (325, 325)
    small = Frame(Picture("t1", b""), Decoded(scene(SIZE).resize((133, 100)), *SIZE))
    (looked,) = detailed.label([small], LabelRequest(detail="auto")).looked
    assert (len(looked.tiles), looked.planned) == (0, 12)


def test_a_4k_picture_is_not_decoded_in_full_for_tiles() -> None:
    file = io.BytesIO()
    Image.new("RGB", (3840, 2160), "gray").save(file, "JPEG")
    sizes: dict[Detail, tuple[int, int]] = {"2x2": (960, 540), "3x3": (1920, 1080), "auto": (1920, 1080)}
    for detail, expected in sizes.items():
        decoded = decode(file.getvalue(), PictureLimits(), decode_size(detail, (300, 300)))
        assert decoded.image.size == expected
