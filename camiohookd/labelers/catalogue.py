"""Read the catalogue of well-known models: `catalogue.toml`, or the owner's file."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.model_file import MAX_BYTES
from camiohookd.system.permissions import reason

CATALOGUE = Path(__file__).with_name("catalogue.toml")

_Colors = tuple[float, float, float]


class CatalogueEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: `url` is the publisher's address, `sha256` and `bytes` are the file's, from the source `hash_from`.

    The other keys are the options of ``models add`` with the same names. What is not set is found out from the model.
    """

    about: str
    url: str
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_BYTES)]
    licence: str
    hash_from: str
    decoder: str | None = None
    labels: Literal["coco", "imagenet"] | None = None
    color_order: Literal["RGB", "BGR"] | None = None
    range: Literal["0..255", "0..1", "-1..1"] | None = None
    resize: Literal["stretch", "letterbox", "letterbox-centred", "crop"] | None = None
    mean: _Colors | None = None
    std: _Colors | None = None
    score: float = 0.4


def read_catalogue(file: Path = CATALOGUE) -> Mapping[str, CatalogueEntry]:
    """Return the entries by name. Raises ModelError."""
    try:
        return msgspec.convert(tomllib.loads(file.read_text(encoding="utf-8")), dict[str, CatalogueEntry])
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {reason(error, file)}") from error
    except ValueError as error:  # not TOML, not UTF-8, or a ValidationError of msgspec
        raise ModelError(f"{file}: not a catalogue of models: {error}") from error
