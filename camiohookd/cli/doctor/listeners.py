"""Check whether the service works, and its listeners; if it is stopped, whether it could listen."""

import http.client
import ssl

from camiohookd.cli.doctor.fetch import fetch, why_failed
from camiohookd.cli.doctor.findings import Finding, Findings, Group
from camiohookd.cli.doctor.running import RunningDaemon
from camiohookd.config.load import Config
from camiohookd.daemon import sockets
from camiohookd.daemon.setup import Setup, plain_http_warning
from camiohookd.errors import CamiohookdError

_GROUP = Group("service")
_START = "sudo systemctl start camiohookd"


def check_service(daemon: RunningDaemon | None) -> Finding:
    """Report whether the service runs, and works."""
    if daemon is None:
        return _GROUP.warning("service", "it is not running; some checks need a running service", _START)
    report = daemon.report
    if report.verdict == "works":
        return _GROUP.ok("service", f"it works on {report.device}, since {report.up_since}")
    if report.verdict == "draining":
        return _GROUP.warning("service", "it drains: new events are refused", "sudo camiohookd drain --off")
    return _GROUP.failed("service", f"{report.verdict}: {'; '.join(report.reasons)}")


def check_listeners(found: Setup, daemon: RunningDaemon | None) -> Findings:
    """Ask the public listener from this machine; for a stopped service, try to bind both listeners."""
    config = found.config
    if daemon is None:
        for address, setting in ((config.hook.listen, "hook.listen"), (config.admin.listen, "admin.listen")):
            try:
                sockets.check_address(address, setting)
                yield _GROUP.ok("listener", f"{setting}: the service could listen on {address}")
            except CamiohookdError as error:
                yield _GROUP.failed("listener", str(error))
    else:
        yield _ask_listener(config, daemon)
    if warning := plain_http_warning(found):
        yield _GROUP.warning("plain http", warning)


def local_url(config: Config) -> str:
    """Return the URL at which this machine reaches the public listener."""
    return f"{'https' if config.hook.tls_cert else 'http'}://{config.hook.listen.from_here}"


def unverified() -> ssl.SSLContext:
    """Return a client context for this box's listener, whose certificate is for the public name, not this address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _ask_listener(config: Config, daemon: RunningDaemon) -> Finding:
    url = local_url(config)
    if config.hook.listen.port == 0:
        return _GROUP.not_checked("listener", "hook.listen has port 0, so its port is not known")
    try:
        fetched = fetch(url, daemon.new_nonce(), unverified())
    except (OSError, http.client.HTTPException) as error:
        return _GROUP.failed(
            "listener",
            f"no answer from {url}/tasks/: {why_failed(error)}",
            "if hook.listen or the certificate changed: sudo systemctl restart camiohookd",
        )
    if not fetched.is_ours:
        return _GROUP.failed(
            "listener",
            f"another program answers at {url}/tasks/, with status {fetched.status}",
            "find it with sudo ss -ltnp; then stop it, or change hook.listen",
        )
    return _GROUP.ok("listener", f"{url} answers")
