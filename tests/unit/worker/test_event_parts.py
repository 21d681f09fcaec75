"""An event's pictures in parts, compared with each other."""

import io

from PIL import Image

from camiohookd.pictures.decode import PictureLimits
from camiohookd.pictures.memory import MemoryBudget
from camiohookd.wire.images import Picture
from camiohookd.worker.event_parts import COMPARED, compared_parts, parts
from tests.support.square_finder import scene

LIMITS = PictureLimits()


def jpeg(nth: int, image: Image.Image) -> Picture:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return Picture(f"t{nth}", file.getvalue())


def test_a_part_is_as_large_as_the_labeler_takes_at_once() -> None:
    pictures = [Picture(f"t{nth}", b"") for nth in range(5)]
    assert [len(part) for part in parts(pictures, 2)] == [2, 2, 1]
    assert [len(part) for part in parts(pictures, None)] == [5]
    assert [item.picture for part in parts(pictures, 2) for item in part] == pictures


def test_pictures_of_one_shape_are_compared_and_the_memory_is_given_back() -> None:
    budget = MemoryBudget(10_000_000)
    pictures = [jpeg(nth, scene((400, 300), (50 + 100 * nth, 50, 40))) for nth in range(3)]
    others = [Picture("t3", b"no picture"), jpeg(4, scene((300, 400)))]
    items = [item for part in compared_parts([*pictures, *others], 1, LIMITS, budget) for item in part]
    assert [item.changes is None for item in items] == [False] * 3 + [True] * 2
    assert [(item.changes.nth, item.changes.of, len(item.changes.regions)) for item in items if item.changes] == [
        (0, 3, 1),
        (1, 3, 1),
        (2, 3, 1),
    ]
    assert budget.used == 0


def test_a_long_event_is_compared_in_groups() -> None:
    pictures = [jpeg(nth, scene((200, 150))) for nth in range(COMPARED + 1)]
    items = [item for part in compared_parts(pictures, 1, LIMITS, MemoryBudget(10_000_000)) for item in part]
    assert [item.picture for item in items] == pictures
    assert items[0].changes is not None
    assert items[0].changes.of == COMPARED
    assert items[-1].changes is None
