"""Events as Camio would send them: pictures on disk → `SimulatedEvent` → the body of a POST.

The pictures are taken in turn, from the first to the last and over again, and cut into events of 4, 1, 2, 3, 4, 1, ...
pictures: the same pictures always make the same events.
"""

import base64
import itertools
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from camiohookd.camio.simulator.samples import KNOWN, SAMPLES, Objects
from camiohookd.errors import CamiohookdError
from camiohookd.system.permissions import reason

SIZES = (4, 1, 2, 3)
CAMERA = "simulator"


@dataclass(frozen=True, slots=True)
class PictureFile:
    """One picture as it is on disk; `size` is width and height in pixels."""

    path: Path
    data: bytes
    media_type: str
    size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """One event: `pictures` by timestamp, all timestamps different."""

    id: str
    pictures: dict[str, PictureFile]

    def body(self, callback_url: str) -> bytes:
        """Return what Camio would post."""
        images = [
            {
                "timestamp": timestamp,
                "type": picture.media_type,
                "size": picture.size,
                "image_b64": base64.b64encode(picture.data).decode(),
            }
            for timestamp, picture in self.pictures.items()
        ]
        event = {"callback_url": callback_url, "user_id": "simulator", "camera": CAMERA, "images": images}
        return json.dumps(event).encode()

    def objects(self) -> dict[str, Objects]:
        """Return, by timestamp, what is known to be in the picture."""
        return {timestamp: KNOWN.get(picture.path, ()) for timestamp, picture in self.pictures.items()}


class Pictures(NamedTuple):
    """The pictures that can be sent, and for each of the others a sentence that says why not."""

    usable: list[PictureFile]
    left_out: list[str]


def read_pictures(paths: Sequence[Path]) -> Pictures:
    """Read the files of `paths`, and of each folder among them the JPEG files by name; the samples if there are none.

    Raises `CamiohookdError` if a folder holds no JPEG file, or nothing at all can be sent.
    """
    pictures = Pictures([], [])
    for file in itertools.chain.from_iterable(map(_files, paths or [SAMPLES])):
        try:
            pictures.usable.append(_read_picture(file))
        except CamiohookdError as error:
            pictures.left_out.append(str(error))
    if not pictures.usable:
        raise CamiohookdError("\n".join(pictures.left_out))
    return pictures


def enough_events(pictures: int) -> int:
    """Return how many events it takes until each of `pictures` was sent once."""
    sent = itertools.accumulate(itertools.cycle(SIZES))
    return next(nth for nth, total in enumerate(sent, start=1) if total >= pictures)


def make_events(pictures: Sequence[PictureFile], count: int) -> Iterator[SimulatedEvent]:
    """Return `count` events of `pictures`, ten seconds apart, the first one now.

    Their ids carry a random part, so that no two runs are taken for the same events.
    """
    run = secrets.token_hex(4)
    start = datetime.now(UTC)
    turns = itertools.cycle(pictures)
    for nth, size in enumerate(itertools.islice(itertools.cycle(SIZES), count)):
        moments = (start + timedelta(seconds=10 * nth, milliseconds=364 * image) for image in range(size))
        chosen = itertools.islice(turns, min(size, len(pictures)))
        by_timestamp = {_timestamp(moment, nth): picture for picture, moment in zip(chosen, moments, strict=False)}
        yield SimulatedEvent(f"{nth + 1:04}-{run}", by_timestamp)


def _timestamp(moment: datetime, nth: int) -> str:
    # Camio writes both forms; a service that changes either of them is found out.
    if nth % 2:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}-0000"
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(one for one in path.iterdir() if _is_jpeg(one))
    if not files:
        raise CamiohookdError(f"{path}: there is no .jpg file in this folder")
    return files


def _is_jpeg(path: Path) -> bool:
    return path.suffix.lower() in (".jpg", ".jpeg") and path.is_file()


def _read_picture(path: Path) -> PictureFile:
    try:
        data = path.read_bytes()
        with Image.open(path) as picture:
            return PictureFile(path.resolve(), data, Image.MIME[picture.format or ""], picture.size)
    except (UnidentifiedImageError, KeyError):
        raise CamiohookdError(f"{path}: it cannot be read as a picture") from None
    except OSError as error:
        raise CamiohookdError(f"{path}: it cannot be read: {reason(error, path)}") from None
