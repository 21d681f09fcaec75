"""Fetch ``/tasks/`` with a nonce, to find out whether this box's daemon answers."""

import http.client
import json
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from camiohookd.cli.doctor.running import Nonce
from camiohookd.net.urls import split_url

SECONDS = 15.0
_MAX_BODY = 65_536


@dataclass(frozen=True, slots=True)
class Fetched:
    """The answer of a URL. `is_ours`: it had the proof. `expires`: the end of a verified certificate, else None."""

    is_ours: bool
    status: int
    expires: datetime | None
    location: str | None = None


def fetch(base_url: str, nonce: Nonce, context: ssl.SSLContext) -> Fetched:
    """Get ``/tasks/`` under `base_url`, without following redirects. Raises OSError, HTTPException, MalformedUrl."""
    origin, path = split_url(base_url)
    host = origin.host.strip("[]")
    if origin.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, origin.port, timeout=SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, origin.port, timeout=SECONDS)
    try:
        connection.connect()
        expires = _expires(connection.sock)
        connection.request(
            "GET", f"{path.rstrip('/')}/tasks/?nonce={nonce.nonce}", headers={"User-Agent": "camiohookd"}
        )
        response = connection.getresponse()
        is_ours = _proof(response.read(_MAX_BODY)) == nonce.proof
        return Fetched(is_ours, response.status, expires, response.getheader("Location"))
    finally:
        connection.close()


def why_failed(error: Exception, seconds: float = SECONDS) -> str:
    """Return a sentence on why a connection with a limit of `seconds` ended in `error`."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case ssl.SSLError():
            return f"the TLS handshake failed: {error.reason or error}"
        case socket.gaierror():
            return f"its name cannot be resolved: {error.strerror}"
        case TimeoutError():
            return f"it did not answer within {seconds:g} s"
        case OSError():
            return error.strerror or str(error)
    return f"the answer is not HTTP: {error}"


def _proof(body: bytes) -> str | None:
    try:
        answer: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    proof = answer.get("proof") if isinstance(answer, dict) else None
    return proof if isinstance(proof, str) else None


def _expires(connection: socket.socket) -> datetime | None:
    if not isinstance(connection, ssl.SSLSocket):
        return None
    certificate = connection.getpeercert()
    if not certificate:  # the context does not verify it
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
