"""Turn the error of one delivery try into a `DeliveryOutcome`."""

import requests

from camiohookd.next_try import DeliveryOutcome, OutcomeKind


def classify_error(error: Exception) -> DeliveryOutcome:
    """Return what it means that no answer came."""
    match error:
        case requests.exceptions.SSLError():
            # Not final: until it has the time, a box without a clock takes every good certificate for a bad one.
            return _transient(f"no trusted TLS connection ({_root(error)}); is this machine's clock right?")
        case requests.exceptions.ConnectTimeout():
            return _transient("no connection within the time limit")
        case requests.exceptions.Timeout():
            return _transient("no answer within the time limit")
        case ValueError():
            return DeliveryOutcome(OutcomeKind.FINAL, None, "the URL cannot be used")
    return _transient(f"the connection failed ({_root(error)})")


def _transient(reason: str) -> DeliveryOutcome:
    return DeliveryOutcome(OutcomeKind.TRANSIENT, None, reason)


def _root(error: BaseException) -> str:
    """Return the words of the operating system at the bottom of `error`; the layers above it repeat the URL."""
    deepest = error
    while inner := deepest.__cause__ or (None if deepest.__suppress_context__ else deepest.__context__):
        deepest = inner
    if isinstance(deepest, OSError) and deepest.strerror:
        return deepest.strerror
    return "it hung up" if isinstance(deepest, ConnectionError) else type(deepest).__name__
