"""Say in a few words why a request got no answer."""

import http.client
import ssl

from camiohookd.outgoing.answer import UnusableAnswer

_WRONG_TIME = (9, 10)
"""OpenSSL's errors "certificate is not yet valid" and "certificate has expired"."""

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
"""OpenSSL's reasons for what is not a record of TLS at all; some versions of it report the last two."""


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
        case ssl.SSLError() if error.reason in _NO_TLS:
            return "it does not speak TLS there; is http:// meant?"
        case ssl.SSLError() if error.reason:
            return f"TLS failed: {error.reason.replace('_', ' ').lower()}"
        case OSError() if error.strerror:
            return error.strerror
        case ConnectionError():
            return "it closed the connection"
        case UnicodeError():
            return "its name cannot be looked up"
        case http.client.HTTPException() | ValueError():
            return "it is not valid HTTP"
    return type(error).__name__
