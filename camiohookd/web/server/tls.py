"""A listener's certificate: PEM files ─▶ `load` ─▶ a context for new connections, its expiry date and its names.

Open connections keep their context when the certificate is replaced.
"""

import logging
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from camiohookd.errors import ConfigError
from camiohookd.system.log_fields import about
from camiohookd.system.permissions import reason
from camiohookd.units import plural
from camiohookd.web.server.tls_groups import use_groups

# Only forward secrecy and authenticated encryption, as in Mozilla's intermediate list. TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
WARN_BEFORE = timedelta(days=30)

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_UTC_TIME, _VERSION = 0x17, 0xA0
_EXTENSIONS, _SUBJECT_ALT_NAME, _DNS_NAME = 0xA3, bytes((0x55, 0x1D, 0x11)), 0x82
_RELOAD = "replace the file and run systemctl reload camiohookd"

log = logging.getLogger("camiohookd.web")


@dataclass(frozen=True, slots=True)
class Certificate:
    """`context` is for new connections; `expires` is in UTC; `names` are the host names that it is for."""

    context: ssl.SSLContext
    path: str
    expires: datetime
    names: tuple[str, ...] = ()


def load(cert: str, key: str, section: str = "hook") -> Certificate | None:
    """Load the certificate and its chain from the file `cert`, and the key from the file `key` ("": also from `cert`).

    `section` is that of their settings, for errors. Returns None if neither is set. Raises ConfigError.
    """
    cert_setting, key_setting = f"{section}.tls_cert", f"{section}.tls_key"
    if not cert:
        if key:
            raise ConfigError(f"{key_setting} is set but {cert_setting} is not: set both, or neither for plain http")
        return None
    pem = _read(cert_setting, cert)
    if key:
        _read(key_setting, key)
    where = f"{cert_setting}: {cert}"
    context = _context(cert, key, f"{key_setting}: {key}" if key else where, where)
    try:
        der = _own(pem)
        expires = expiry(der)
    except (ValueError, IndexError):
        raise ConfigError(f"{where}: cannot read the certificate's expiry date") from None
    return Certificate(context, cert, expires, names(der))


def warn_of_expiry(certificate: Certificate, now: datetime) -> None:
    """Log a warning if the certificate expires within a month, an error if it has expired."""
    left = certificate.expires - now
    if left <= timedelta(0):
        message = "the certificate %s expired on %s, and Camio may refuse it: %s"
        log.error(message, certificate.path, certificate.expires.date(), _RELOAD, extra=about("certificate_expired"))
    elif left <= WARN_BEFORE:
        message = "the certificate %s expires in %s, on %s: %s"
        log.warning(
            message,
            certificate.path,
            plural(left.days, "day"),
            certificate.expires.date(),
            _RELOAD,
            extra=about("certificate_expires"),
        )


def expiry(der: bytes) -> datetime:
    """Return the notAfter of a certificate in DER (RFC 5280, section 4.1), in UTC.

    Raises ValueError or IndexError if it is not a certificate.
    """
    ((_, certificate),) = _elements(der)
    fields = _elements(_elements(certificate)[0][1])
    if fields[0][0] == _VERSION:
        del fields[0]
    _serial, _algorithm, _issuer, (_, validity), *_ = fields
    kind, after = _elements(validity)[1]
    text = after.decode("ascii")
    if kind == _UTC_TIME:  # the year has two digits, from 1950 on: section 4.1.2.5.1
        text = ("20" if text < "50" else "19") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _context(cert: str, key: str, where: str, where_cert: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    use_groups(context)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])

    def no_password() -> str:  # otherwise OpenSSL asks for it on the terminal
        raise ConfigError(f"{where}: the key has a password, which is not supported; store it without one")

    try:
        context.load_cert_chain(cert, key or None, no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"{where}: the key does not belong to the certificate in {cert}") from None
        reason = error.reason or "not PEM"
        raise ConfigError(f"{where_cert}: cannot read a certificate and its key as PEM: {reason}") from None
    return context


def _own(pem: bytes) -> bytes:
    """Return the first certificate, the listener's own, in DER. Raises ValueError."""
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no certificate")
    return ssl.PEM_cert_to_DER_cert(found[0].decode("ascii"))


def names(der: bytes) -> tuple[str, ...]:
    """Return the host names in a certificate in DER, in lower case; none if they cannot be read."""
    try:
        return tuple(_names(der))
    except (ValueError, IndexError):
        return ()


def _names(der: bytes) -> Iterator[str]:
    """Yield the dNSNames of subjectAltName (RFC 5280, section 4.2.1.6)."""
    ((_, certificate),) = _elements(der)
    for tag, extensions in _elements(_elements(certificate)[0][1]):
        if tag != _EXTENSIONS:
            continue
        for _, extension in _elements(_elements(extensions)[0][1]):
            (_, kind), *_, (_, value) = _elements(extension)
            if kind == _SUBJECT_ALT_NAME:
                found = _elements(_elements(value)[0][1])
                yield from (name.decode("ascii").lower() for tag, name in found if tag == _DNS_NAME)


def _elements(der: bytes) -> list[tuple[int, bytes]]:
    """Return the tags and contents of consecutive elements (X.690, section 8.1)."""
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
        raise ConfigError(f"{setting}: expected the path of a file, given the PEM text itself (not shown)")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: cannot be read: {reason(error, path)}") from None
