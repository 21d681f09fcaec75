"""Say in a few words why a request got no answer."""

import http.client
import ssl

from camiohookd.outgoing.answer import UnusableAnswer

_WRONG_TIME = (9, 10)
"""OpenSSL's errors "certificate is not yet valid" and "certificate has expired"."""


def root(error: BaseException) -> BaseException:
    """Return the error at the bottom of `error`; the layers above it repeat the URL."""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    return error


def words(error: BaseException) -> str:
    """Return what `error` says, without anything that the other side sent."""
    match error:
        case UnusableAnswer():
            return str(error)
        case ssl.SSLCertVerificationError():
            advice = "; is this machine's clock right?" if error.verify_code in _WRONG_TIME else ""
            return f"{error.verify_message}{advice}"
        case OSError() if error.strerror:
            return error.strerror
        case ConnectionError():
            return "it closed the connection"
        case UnicodeError():
            return "its name cannot be looked up"
        case http.client.HTTPException() | ValueError():
            return "it is not valid HTTP"
    return type(error).__name__
