"""What all decoders' options have in common."""

import msgspec


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[options]`` of a `model.toml`; a decoder's own have its keys."""
