"""Why a picture cannot be decoded, in words for its owner."""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import UnidentifiedImageError

from camiohookd.errors import PictureError
from camiohookd.pictures.file_kind import NAMES, Format
from camiohookd.pictures.memory import NoRoom


@contextmanager
def explained(name: Format) -> Iterator[None]:
    """Raise a PictureError for what is raised inside, without quoting Pillow: its texts are about its own code."""
    try:
        yield
    except (PictureError, NoRoom):
        raise
    except UnidentifiedImageError:
        raise PictureError(f"the picture's {NAMES[name]} header is damaged or cut off") from None
    except MemoryError as error:
        raise PictureError("there is not enough memory to decode the picture") from error
    except Exception as error:  # Pillow raises anything from struct.error to TypeError on bad bytes
        cut_off = isinstance(error, EOFError) or "truncated" in str(error).lower()
        what = "is cut off" if cut_off else "is damaged and cannot be decoded"
        raise PictureError(f"the picture's {NAMES[name]} data {what}") from error
