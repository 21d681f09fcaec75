"""Check that the box reaches Camio's API and the hosts to which labels are sent."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from camiohookd.camio import hooks_api
from camiohookd.cli.doctor.fetch import why_failed
from camiohookd.cli.doctor.findings import Finding, Findings, Group
from camiohookd.config.values import AllowedHost
from camiohookd.delivery import AllowList
from camiohookd.delivery.trial import SECONDS, try_target
from camiohookd.errors import CamiohookdError

_GROUP = Group("to the internet")
_ADVICE = "check the box's internet connection, its name server (resolvectl) and its firewall"


class ApiAnswer(NamedTuple):
    """The finding about Camio's API, and the Date header of its answer."""

    finding: Finding
    date: str | None


def check_api(base_url: str) -> ApiAnswer:
    """Send Camio's API a request without a token; any answer is ok."""
    try:
        date = hooks_api.reach(base_url)
    except CamiohookdError as error:
        return ApiAnswer(_GROUP.failed("Camio's API", str(error), _ADVICE), None)
    return ApiAnswer(_GROUP.ok("Camio's API", f"{base_url} answers"), date)


def check_callbacks(hosts: Iterable[AllowedHost], certificates: str) -> Findings:
    """Connect to each host of `allow_hosts` at once; skip patterns (``*.camio.com``), which name no host."""
    named = [host for host in hosts if not host.startswith("*.")]
    if not named:
        yield _GROUP.not_checked("callback hosts", "callback.allow_hosts has no full host name to try")
        return
    with ThreadPoolExecutor(min(len(named), 8)) as pool:
        yield from pool.map(lambda host: _check_callback(host, certificates), named)


def _check_callback(host: AllowedHost, certificates: str) -> Finding:
    url = str(host) if "://" in host else f"https://{host}"
    name = f"callback host {host}"
    try:
        try_target(AllowList([host]).check(f"{url}/"), certificates)
    except OSError as error:
        return _GROUP.failed(name, why_failed(error, SECONDS), _ADVICE)
    return _GROUP.ok(name, "it can be reached" + (" by TLS" if url.startswith("https") else ""))
