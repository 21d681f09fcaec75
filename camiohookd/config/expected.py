"""Say what a setting may be, for errors and for the table of settings alike."""

from typing import Any

import msgspec.inspect

from camiohookd.config.quantities import ByteSize, Duration
from camiohookd.config.values import Address, AllowedHost, ApiKey, EndpointUrl, HostName, Network, PublicUrl, WebhookUrl

_OwnType = (
    Duration | ByteSize | Address | PublicUrl | WebhookUrl | AllowedHost | ApiKey | EndpointUrl | HostName | Network
)


def expected(kind: Any) -> str:
    """Return in words what a setting of the type `kind` takes."""
    return _expected(msgspec.inspect.type_info(kind))


def _expected(info: msgspec.inspect.Type) -> str:
    match info:
        case msgspec.inspect.Metadata(type=inner):
            return _expected(inner)
        case msgspec.inspect.CustomType(cls=kind):
            assert issubclass(kind, _OwnType)
            return kind.expected
        case msgspec.inspect.LiteralType(values=values):
            *most, last = [f'"{value}"' for value in values]
            return f"{', '.join(most)} or {last}" if most else last
        case msgspec.inspect.VarTupleType(item_type=item, min_length=least):
            count = {None: "any length", 0: "any length", 1: "one or more"}.get(least, f"{least} or more")
            return f"a list of {count}, each {_expected(item)}"
        case msgspec.inspect.TupleType(item_types=[first, *rest]):
            return f"a list of {1 + len(rest)}, each {_expected(first)}"
        case msgspec.inspect.DictType(key_type=key, value_type=value):
            return f"a table {{ {_expected(key)} = {_expected(value)} }}"
        case msgspec.inspect.UnionType(types=[inner, msgspec.inspect.NoneType()]):
            return _expected(inner)
        case msgspec.inspect.UnionType(types=kinds):
            return " or ".join(_expected(each) for each in reversed(kinds))
        case msgspec.inspect.BoolType():
            return "true or false"
        case msgspec.inspect.IntType(ge=least, le=None):
            return f"a whole number, {least} or more"
        case msgspec.inspect.IntType(ge=least, le=most):
            return f"a whole number from {least} to {most}"
        case msgspec.inspect.FloatType(ge=least, le=most):
            return f"a number from {least} to {most}"
        case msgspec.inspect.StrType(min_length=least, max_length=most):
            long = f" of at most {most} letters" if most else ""
            return f"text{long} that is not empty" if least else f"text{long}"
    raise TypeError(f"no words for {info}")
