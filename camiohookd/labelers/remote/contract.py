"""Compare a server's model with this machine's: ``v2/models/{name}`` ─▶ `ServedNames`, or why it does not fit.

Source: https://github.com/kserve/open-inference-protocol (``specification/protocol/inference_rest.md``, "Model
Metadata").
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from camiohookd.errors import ModelError
from camiohookd.labelers.remote.protocol import too_large
from camiohookd.labelers.remote.tensors import BYTES, FLOATS, NOT_READABLE, kind_of
from camiohookd.labelers.remote.unusable import one_line

OpenShape = Sequence[int | None]
"""None is any length."""


class Wanted(NamedTuple):
    """What this machine sends and reads: a tensor's name and shape; `takes_bytes` allows the input to be UINT8.

    `files` says that the input are pictures' files instead, of any name. `further` names texts, one for each picture,
    that are sent and read, too, if the server has such an input or output; "" for none.
    """

    input: str
    input_shape: OpenShape
    outputs: Mapping[str, OpenShape]
    takes_bytes: bool = False
    files: bool = False
    texts: bool = False
    further: str = ""


class ServedNames(NamedTuple):
    """The names on the server: of the input, and of the outputs by their names in `model.toml`.

    `kind` is the input's type, None for files, and `rank` the number of its axes. `further_rank` is that of the further
    input, 0 if the server does not take it.
    """

    input: str
    outputs: Mapping[str, str]
    kind: np.dtype[Any] | None
    rank: int
    further_rank: int = 0


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...] = ()


class _Metadata(msgspec.Struct):
    inputs: tuple[_Tensor, ...] | None = None
    outputs: tuple[_Tensor, ...] | None = None


def fit(data: bytes, wanted: Wanted) -> ServedNames:
    """Compare the answer `data` to a request for the model's metadata with what is `wanted`.

    If the server lists no inputs or no outputs, those that are wanted are assumed; its answers are checked later.
    Raises ModelError.
    """
    if too_large(data):
        raise ModelError("the server's metadata of the model cannot be read: it has too many values")
    try:
        told = msgspec.json.decode(data, type=_Metadata)
    except NOT_READABLE as error:
        raise ModelError(f"the server's metadata of the model cannot be read: {one_line(error)}") from None
    further = [each for each in told.inputs or () if _is_further(each, wanted)]
    inputs = [each for each in told.inputs or () if each not in further]
    outputs = told.outputs or ()
    if not inputs:
        name, kind = wanted.input, None if wanted.files else np.dtype(np.float32)
        rank = len(wanted.input_shape) if kind else 1
    elif len(inputs) > 1:
        raise ModelError(f"the model has {len(inputs)} inputs ({_names(inputs)}); expected one, for the pictures")
    else:
        name, kind, rank = inputs[0].name, _kind(inputs[0], wanted), max(len(inputs[0].shape), 1)
    return ServedNames(
        name, _outputs(outputs, wanted), kind, rank, max((max(len(each.shape), 1) for each in further), default=0)
    )


def _is_further(found: _Tensor, wanted: Wanted) -> bool:
    return bool(wanted.further) and (found.name, found.datatype) == (wanted.further, BYTES)


def _kind(found: _Tensor, wanted: Wanted) -> np.dtype[Any] | None:
    if wanted.files:
        if found.datatype != BYTES:
            raise ModelError(
                f"the model's input {found.name!r} is {found.datatype}; expected {BYTES}, for the pictures' files"
            )
        return None
    if found.name != wanted.input:
        raise ModelError(f"the model's input is {found.name!r}; model.toml expects {wanted.input!r}")
    types = ["FP32", "FP16", *(["UINT8"] if wanted.takes_bytes else [])]
    if found.datatype not in types or not _fits(found.shape, wanted.input_shape):
        raise ModelError(
            f"the model's input {found.name!r} is {found.datatype} {list(found.shape)}; "
            f"model.toml expects {' or '.join(types)} {_shown(wanted.input_shape)}"
        )
    return kind_of(found.datatype)


def _outputs(found: Sequence[_Tensor], wanted: Wanted) -> Mapping[str, str]:
    further = {each.name: each.name for each in found if _is_further(each, wanted)}
    found = [each for each in found if each.name not in further]
    by_name = {each.name: each for each in found}
    if len(found) == len(wanted.outputs) == 1:
        by_name = dict.fromkeys(wanted.outputs, found[0])
    if found and not wanted.outputs.keys() <= by_name.keys():
        raise ModelError(f"the model's outputs are {_names(found)}; expected {', '.join(wanted.outputs)}")
    for name, shape in wanted.outputs.items():
        each = by_name.get(name)
        types = [BYTES] if wanted.texts else FLOATS
        if each and (each.datatype not in types or not (wanted.texts or _fits(each.shape, shape))):
            raise ModelError(
                f"the model's output {each.name!r} is {each.datatype} {list(each.shape)}; "
                f"expected {' or '.join(types)} {_shown(shape)}"
            )
    return {name: by_name[name].name if name in by_name else name for name in wanted.outputs} | further


def _fits(found: Sequence[int], wanted: OpenShape) -> bool:
    """Return whether the shapes agree. A server may give -1 or 0 for any length, and may leave the batch out."""
    lengths = [*found] if len(found) == len(wanted) else [-1, *found]
    return len(lengths) == len(wanted) and all(
        length <= 0 or expected in (length, None) for length, expected in zip(lengths, wanted, strict=True)
    )


def _shown(shape: OpenShape) -> str:
    return f"[{', '.join('any' if length is None else str(length) for length in shape)}]"


def _names(tensors: Sequence[_Tensor]) -> str:
    return one_line(", ".join(each.name for each in tensors))
