"""Restricts a listener to the key exchange groups of Mozilla's intermediate list, in its order.

Before Python 3.15 the ssl module can set only a single group. OpenSSL is therefore called directly, with the context
that is the first field of a Python context (Modules/_ssl.c, PySSLContext, the same from Python 3.6 to 3.14).
"""

import ctypes
import ssl
import sys
from contextlib import suppress
from types import ModuleType

GROUPS = "X25519:P-256:P-384"
_SSL_CTRL_SET_GROUPS_LIST = 92  # ssl.h, SSL_CTX_set1_groups_list(3)
_LAST_KNOWN_PYTHON = (3, 14)


def use_groups(context: ssl.SSLContext) -> bool:
    """Allow only `GROUPS` in `context`. False if this Python has no way to, and OpenSSL's default groups stay."""
    set_groups = getattr(context, "set_groups", None)
    if set_groups is not None:
        set_groups(GROUPS)
        return True
    if sys.implementation.name != "cpython" or sys.version_info[:2] > _LAST_KNOWN_PYTHON:
        return False
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(getattr(_ssl_module(), "__file__", None))
        library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_char_p)
        library.SSL_CTX_ctrl.restype = ctypes.c_long
        openssl_context = ctypes.c_void_p.from_address(id(context) + object.__basicsize__)
        return bool(library.SSL_CTX_ctrl(openssl_context, _SSL_CTRL_SET_GROUPS_LIST, 0, GROUPS.encode()))
    return False


def _ssl_module() -> ModuleType:
    """Return the extension module of `ssl`, which is linked to the OpenSSL that its contexts belong to."""
    return sys.modules["_ssl"]
