"""Check the listener's own certificate: when it expires, its chain and its host name."""

import ssl
from datetime import datetime, timedelta
from pathlib import Path

from camiohookd.cli.doctor.findings import Finding, Findings, Group
from camiohookd.net.urls import split_url
from camiohookd.units import plural
from camiohookd.web.server.tls import Certificate

_GROUP = Group("TLS")
_RENEW = "renew it, replace the file, and run: sudo systemctl reload camiohookd"
_SOON = timedelta(days=14)
_MAX_ROUNDS = 16  # a handshake takes four


def check_certificate(
    certificate: Certificate | None, public_url: str, authorities: str, now: datetime, *, is_behind_another: bool
) -> Findings:
    """Check the certificate that the listener presents; yield nothing if it has none.

    `authorities` is a file or folder of trusted certificates. With `is_behind_another`, the public URL presents a
    trusted certificate, so that this one may be private.
    """
    if certificate is None:
        return
    yield days_left(certificate.path, certificate.expires, now)
    host = split_url(public_url)[0].host.strip("[]") if public_url else None
    reason = why_not_trusted(certificate.context, host, authorities)
    name = f" for {host}" if host else ""
    if reason is None:
        yield _GROUP.ok("chain", f"{certificate.path}: complete and trusted{name}")
    elif is_behind_another:
        yield _GROUP.ok("chain", f"{certificate.path}: {reason}; but the public URL presents a trusted one")
    else:
        yield _GROUP.failed(
            "chain",
            f"{certificate.path}: Camio would not trust it{name}: {reason}",
            "put the certificate of the public name into tls_cert, and below it the chain (fullchain.pem)",
        )


def days_left(what: str, expires: datetime, now: datetime) -> Finding:
    """Return a finding on how long the certificate `what` is still valid."""
    left = expires - now
    if left <= timedelta(0):
        return _GROUP.failed("days left", f"{what} expired on {expires.date()}", _RENEW)
    said = f"{what} is valid for {plural(left.days, 'day')}, until {expires.date()}"
    return _GROUP.warning("days left", said, _RENEW) if left < _SOON else _GROUP.ok("days left", said)


def why_not_trusted(server: ssl.SSLContext, host: str | None, authorities: str) -> str | None:
    """Shake hands with `server` in memory; return why a client with these `authorities` refuses it, or None.

    With a `host`, the certificate must be for that name.
    """
    client = trusting(authorities)
    client.check_hostname = host is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(_MAX_ROUNDS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
            except ssl.SSLError as error:
                return error.reason or str(error)
            if end is ends[0]:
                return None
    return "the handshake does not end"


def trusting(authorities: str) -> ssl.SSLContext:
    """Return a client context that trusts only the certificates in a file (PEM) or folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if Path(authorities).is_dir():
        context.load_verify_locations(capath=authorities)
    else:
        context.load_verify_locations(cafile=authorities)
    return context
