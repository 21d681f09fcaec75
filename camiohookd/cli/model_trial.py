"""Try a new model on one picture, in every order and range of colours, because its file does not say which is right."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from camiohookd.errors import CamiohookdError, LabelingError
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason
from camiohookd.units import plural

_VARIANT = "{:<8}  {:<8}  {}"
_SHOWN = 5
_LOW = 0.25
"""The least probability that is shown; with wrong colours the probabilities are low, and they are to be seen, too."""


def read_file(file: Path) -> bytes:
    """Return the bytes of `file`. Raises CamiohookdError, which names it."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise CamiohookdError(f"cannot read {file}: {reason(error, file)}") from error


def describe(tables: Mapping[str, Any]) -> str:
    """Return in words how the model of these ``model.toml`` tables is used."""
    into, named = tables["input"], [label for label in tables["labels"] if label]
    few = ", ".join(named[:3]) + (", ..." if len(named) > 3 else "")
    return (
        f"decoder {tables['decoder']}, {plural(len(named), 'label')}: {escape(few)}\n"
        f"pictures as {into['width']} x {into['height']}, {into['resize']}, {into['layout']}\n"
    )


def try_variants(folder: Path, tables: Mapping[str, Any], picture: Path) -> Iterator[str]:
    """Label `picture` in every colour order and range; yield a row for each, the one in use first."""
    from itertools import product

    from camiohookd.labelers.library import to_toml

    used = tables["input"]["color_order"], tables["input"]["range"]
    ranges = [used[1]] if "mean" in tables["input"] else ["0..255", "0..1", "-1..1"]
    yield _VARIANT.format("COLOURS", "RANGE", f"LABELS IN {escape(picture.name)}")
    for variant in sorted(product(["RGB", "BGR"], ranges), key=lambda each: each != used):
        preparation = dict(zip(("color_order", "range"), variant, strict=True))
        (folder / "model.toml").write_text(to_toml({**tables, "input": tables["input"] | preparation}))
        mark = "   <- used" if variant == used else ""
        yield _VARIANT.format(*variant, _seen(folder, picture)) + mark


def _seen(folder: Path, picture: Path) -> str:
    from camiohookd.labelers.onnx.labeler import open_onnx
    from camiohookd.pictures.decode import PictureLimits, decode

    labeler = open_onnx(folder)
    try:
        found = labeler.detect(
            decode(picture.read_bytes(), PictureLimits(("jpeg", "png", "webp")), labeler.input_size), _LOW
        )
    except LabelingError as error:
        return str(error)
    finally:
        labeler.close()
    return ", ".join(f"{escape(each.label)} {each.probability:.2f}" for each in found[:_SHOWN]) or "nothing"
