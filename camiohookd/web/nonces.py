"""Prove to the owner's doctor that a request to the public address reaches this very process.

    control socket: ExpectNonce(nonce) ─▶ `Nonces.expect` ─▶ a proof, for the doctor only
    public listener: GET /tasks/?nonce=NONCE ─▶ `Nonces.take` ─▶ the same proof, once

A nonce that was not announced is ignored: the answer is then the same as without it. Belongs to the event loop.
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

LIFETIME = 120.0
"""Seconds that a nonce is expected."""

MOST = 16
"""Nonces that are expected at one time."""


class Nonces:
    """The nonces that are expected, each with its proof; `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expected: OrderedDict[str, tuple[str, float]] = OrderedDict()  # proof, end

    def expect(self, nonce: str) -> str:
        """Expect `nonce` once, and return the proof to answer it with. Beyond `MOST` the oldest is forgotten."""
        proof = secrets.token_hex(16)
        self._expected[nonce] = proof, self._clock() + LIFETIME
        if len(self._expected) > MOST:
            self._expected.popitem(last=False)
        return proof

    def take(self, nonce: str) -> str | None:
        """Return the proof of an expected `nonce`, and expect it no longer; None for any other."""
        proof, end = self._expected.pop(nonce, ("", 0.0))
        return proof if proof and self._clock() < end else None
