"""Check the public URL as Camio uses it: it must lead to this box's daemon, by https."""

import http.client
import ssl
from collections.abc import Iterator
from datetime import datetime

from camiohookd.cli.doctor.certificate import days_left, trusting
from camiohookd.cli.doctor.fetch import Fetched, fetch, why_failed
from camiohookd.cli.doctor.findings import Finding, Findings, Group
from camiohookd.cli.doctor.running import RunningDaemon
from camiohookd.net.addresses import why_host_not_public
from camiohookd.net.urls import split_url
from camiohookd.system import manual

_GROUP = Group("from outside")
_WAYS_IN = manual.page("internet.md")
_WAY_IN = f"check that the way in (forwarded port, proxy, tunnel) is up and leads to this box; see {_WAYS_IN}"
_HAIRPIN = (
    "try it from another network, such as a phone without Wi-Fi: some routers do not let their own network use their "
    f"public address. If it fails there, too: {_WAY_IN}"
)
REACHES = "reaches this service"
"""The name of the check that the public URL leads to this daemon."""

_REDIRECTS = frozenset((301, 302, 303, 307, 308))


def check_outside(public_url: str, authorities: str, daemon: RunningDaemon | None, now: datetime) -> Findings:
    """Fetch the public URL with a nonce. `authorities` is a file or folder of trusted certificates."""
    if not public_url:
        yield _GROUP.not_checked(
            "public URL", "it is not set: set public_url under [hook], or run sudo camiohookd setup"
        )
        return
    yield _judge_url(public_url)
    if daemon is None:
        yield _GROUP.not_checked(REACHES, "the service is not running")
        return
    yield from _fetched(public_url, authorities, daemon, now)


def _judge_url(public_url: str) -> Finding:
    origin, _ = split_url(public_url)
    if origin.scheme != "https":
        return _GROUP.failed(
            "public URL",
            f"{public_url} is plain http: anyone on the path can read the pictures, and the key in the URL",
            f"use a certificate, an https proxy or a tunnel ({_WAYS_IN}), and an https address as public_url",
        )
    if reason := why_host_not_public(origin.host):
        return _GROUP.failed(
            "public URL",
            f"{origin.host} is {reason}, which Camio cannot reach",
            "set public_url under [hook] to an address that the internet can reach",
        )
    return _GROUP.ok("public URL", f"{public_url} uses https and a public name")


def _fetched(public_url: str, authorities: str, daemon: RunningDaemon, now: datetime) -> Iterator[Finding]:
    try:
        fetched = fetch(public_url, daemon.new_nonce(), trusting(authorities))
    except ssl.SSLError as error:
        yield _GROUP.failed(REACHES, f"{public_url}: {why_failed(error)}", _WAY_IN)
        return
    except (OSError, http.client.HTTPException) as error:
        yield _GROUP.failed(REACHES, f"{public_url}: {why_failed(error)}", _HAIRPIN)
        return
    yield _reaches(public_url, fetched)
    if fetched.expires is not None:
        finding = days_left(f"the certificate of {public_url}", fetched.expires, now)
        yield _GROUP.again(finding)


def _reaches(public_url: str, fetched: Fetched) -> Finding:
    if fetched.is_ours:
        return _GROUP.ok(REACHES, f"{public_url}/tasks/ is answered by this box's service")
    if fetched.status in _REDIRECTS:
        return _GROUP.failed(
            REACHES,
            f"{public_url}/tasks/ redirects to {fetched.location}; Camio's events would be lost",
            "set public_url under [hook] to the address that answers without a redirect",
        )
    return _GROUP.failed(
        REACHES, f"{public_url}/tasks/ is answered by another program, with status {fetched.status}", _WAY_IN
    )
