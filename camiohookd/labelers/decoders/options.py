"""What all decoders' options have in common."""

from typing import Annotated

import msgspec

Strides = Annotated[
    tuple[Annotated[int, msgspec.Meta(ge=4, le=1024)], ...],
    msgspec.Meta(min_length=1, max_length=8),
]
"""Pixels of a cell's side, of each grid."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[options]`` of a `model.toml`; a decoder's own have its keys."""
