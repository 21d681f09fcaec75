"""Try a new model on one picture, in every order and range of colors, because its file does not say which is right."""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from camiohookd.errors import CamiohookdError, LabelingError, ModelError
from camiohookd.system.logs import escape
from camiohookd.system.permissions import reason
from camiohookd.units import plural

if TYPE_CHECKING:
    from camiohookd.pictures.decode import Decoded

_VARIANT = "{:<8}  {:<8}  {:<9}  {}"
_SHOWN = 5
_LOW = 0.25
"""The least probability that is shown; with wrong colors the probabilities are low, and they are to be seen, too."""


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


class Trials:
    """A model's bytes, loaded once, to be tried on one picture with different ``model.toml`` tables."""

    def __init__(self, model: bytes, name: str, picture: "Decoded", picture_name: str) -> None:
        from camiohookd.labelers.onnx.session import open_session

        self._runner = open_session(model, name)
        self._name = name
        self._picture = picture
        self._picture_name = picture_name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._runner.close()

    def variants(self, tables: Mapping[str, Any]) -> Iterator[str]:
        """Label the picture in every color order, range and usual mean; yield a row for each, the used one first."""
        from camiohookd.labelers.onnx.contract import IMAGENET

        own = {key: tables["input"][key] for key in ("mean", "std") if key in tables["input"]}
        used = (tables["input"]["color_order"], tables["input"]["range"], own)
        scalings = [used[1:], ("0..255", {}), ("0..1", {}), ("-1..1", {}), ("0..1", dict(IMAGENET))]
        scalings = [each for nth, each in enumerate(scalings) if each not in scalings[:nth]]
        yield _VARIANT.format("COLORS", "RANGE", "MEAN, STD", f"LABELS IN {escape(self._picture_name)}")
        for order, (value_range, means) in sorted(
            product(("RGB", "BGR"), scalings), key=lambda each: (each[0], *each[1]) != used
        ):
            seen = self._seen_with(tables, {"color_order": order, "range": value_range, **means})
            if seen is not None:
                mark = "   <- used" if (order, value_range, means) == used else ""
                kind = "ImageNet" if means == IMAGENET else "own" if means else "none"
                yield _VARIANT.format(order, value_range, kind, seen) + mark

    def seen(self, tables: Mapping[str, Any]) -> str:
        """Return what the model finds in the picture."""
        return self._seen_with(tables, {}) or "nothing"

    def _seen_with(self, tables: Mapping[str, Any], preparation: Mapping[str, Any]) -> str | None:
        """Return what the model finds with this preparation; None if its input does not take such values."""
        import msgspec

        from camiohookd.labelers.decoders import decoder
        from camiohookd.labelers.model import ModelDescription
        from camiohookd.labelers.onnx.labeler import OnnxLabeler

        kept = {key: value for key, value in tables["input"].items() if not preparation or key not in ("mean", "std")}
        description = msgspec.convert({**tables, "input": kept | dict(preparation)}, ModelDescription)
        size = (description.input.width, description.input.height)
        decode = decoder(description.decoder, size, description.labels, description.options)
        try:
            labeler = OnnxLabeler(Path(self._name), self._runner, description, decode)
        except ModelError:
            if preparation:
                return None  # bytes cannot be scaled
            raise
        try:
            found = labeler.detect(self._picture, _LOW)
        except LabelingError as error:
            return str(error)
        return ", ".join(f"{escape(each.label)} {each.probability:.2f}" for each in found[:_SHOWN]) or "nothing"
