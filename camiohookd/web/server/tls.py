"""The public listener's certificate: PEM files ─▶ `load` ─▶ a context for new connections, and when it ends.

A connection keeps the context that it began with, so that another certificate disturbs none.
"""

import logging
import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from camiohookd.errors import ConfigError
from camiohookd.system.permissions import remedy
from camiohookd.web.server.tls_groups import use_groups

# Forward secrecy and authenticated encryption alone, as Mozilla's "intermediate"; TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
WARN_BEFORE = timedelta(days=30)

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _VERSION = 0x17, 0xA0
_RELOAD = "put the new one in its place and run systemctl reload camiohookd"

log = logging.getLogger("camiohookd.web")


@dataclass(frozen=True, slots=True)
class Certificate:
    """`context` is what connections begin with; `expires` is UTC."""

    context: ssl.SSLContext
    path: str
    expires: datetime


def load(cert: str, key: str) -> Certificate | None:
    """The certificate and its chain in the file `cert`, with the key in the file `key`; "": it is in `cert`, too.

    None where neither is set. Raises ConfigError.
    """
    if not cert:
        if key:
            raise ConfigError("hook.tls_key is set and hook.tls_cert is not: set both, or neither for plain http")
        return None
    pem = _read("hook.tls_cert", cert)
    if key:
        _read("hook.tls_key", key)
    return Certificate(_context(cert, key), cert, _expiry(pem, f"hook.tls_cert: {cert}"))


def warn_of_expiry(certificate: Certificate, now: datetime) -> None:
    """A line in the log if the certificate ends within a month, or has ended."""
    left = certificate.expires - now
    if left <= timedelta(0):
        message = "the certificate %s has ended on %s, and Camio may refuse it: %s"
        log.error(message, certificate.path, certificate.expires.date(), _RELOAD)
    elif left <= WARN_BEFORE:
        message = "the certificate %s ends in %d days, on %s: %s"
        log.warning(message, certificate.path, left.days, certificate.expires.date(), _RELOAD)


def expiry(der: bytes) -> datetime:
    """The notAfter of a certificate in DER (RFC 5280, section 4.1), UTC; ValueError or IndexError if it is none."""
    ((_, certificate),) = _elements(der)
    fields = _elements(_elements(certificate)[0][1])
    if fields[0][0] == _VERSION:
        del fields[0]
    _serial, _algorithm, _issuer, (_, validity), *_ = fields
    kind, after = _elements(validity)[1]
    text = after.decode("ascii")
    if kind == _UTC_TIME:  # two digits of the year, from 1950 on: section 4.1.2.5.1
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _context(cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    use_groups(context)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    where = f"hook.tls_key: {key}" if key else f"hook.tls_cert: {cert}"

    def no_password() -> str:  # OpenSSL would ask for it on the terminal
        raise ConfigError(f"{where}: the key is protected by a password, and must not be; its file's mode protects it")

    try:
        context.load_cert_chain(cert, key or None, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{where}: the key is not the one of the certificate in {cert}") from None
        reason = error.reason or "it is no PEM"
        raise ConfigError(
            f"hook.tls_cert: {cert}: no certificate with its key, as PEM, could be read: {reason}"
        ) from None
    return context


def _expiry(pem: bytes, where: str) -> datetime:
    """Of the first certificate, which is the listener's own."""
    try:
        found = _PEM.search(pem)
        if found is None:
            raise ValueError("no certificate")
        return expiry(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")))
    except (ValueError, IndexError):
        raise ConfigError(f"{where}: the certificate's last day cannot be read") from None


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """The tags and contents that stand in a row (X.690, section 8.1)."""
    elements = []
    while der:
        tag, length, start = der[0], der[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(der[2:start])
        elements.append((tag, der[start : start + length]))
        der = der[start + length :]
    return elements


def _read(setting: str, path: str) -> bytes:
    if "-----BEGIN" in path:
        raise ConfigError(f"{setting}: it is a PEM text (not shown), expected the path of a file with that text")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        advice = remedy(path) if isinstance(error, PermissionError) else ""
        raise ConfigError(f"{setting}: {path}: cannot be read: {error.strerror}{advice}") from None
