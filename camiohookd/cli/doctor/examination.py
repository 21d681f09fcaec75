"""Run every group of checks, in the order in which an event meets what they check."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from camiohookd.cli.doctor import certificate, clock, disk, event, files, listeners, model, outside, reach, release
from camiohookd.cli.doctor.findings import Finding, Findings, Group
from camiohookd.cli.doctor.running import RunningDaemon, find_daemon
from camiohookd.config import paths
from camiohookd.config.settings import QueueSettings
from camiohookd.daemon import setup
from camiohookd.daemon.setup import Setup
from camiohookd.delivery import trusted_certificates
from camiohookd.errors import CamiohookdError, SetupError

_SETTINGS = Group("settings")


def examine(path: Path | None, environ: Mapping[str, str], api: str) -> Findings:
    """Yield a finding for each check; `path` is the settings file, None for the usual one; `api` is Camio's address.

    If the settings are wrong, only what does not depend on them is checked.
    """
    daemon, problem = _daemon(environ)
    if problem is not None:
        yield problem
    report = daemon.report if daemon else None
    answer = reach.check_api(api)
    now = datetime.now(UTC)
    try:
        found = setup.read(path, environ)
    except SetupError as error:
        yield _wrong_settings(error)
        yield _SETTINGS.not_checked("the rest", "model, listeners, the way in and callbacks depend on the settings")
        yield from disk.check_disk(paths.state_dir(environ), QueueSettings(), report)
        yield clock.check_clock(now, answer.date)
        yield release.check_version(now)
        yield answer.finding
        return
    file = path or paths.config_file(environ)
    yield from files.check_settings(found, file)
    yield from files.check_files(found, file)
    yield from files.check_keys(found.keys)
    yield from disk.check_disk(paths.state_dir(environ), found.config.queue, report)
    yield clock.check_clock(now, answer.date)
    yield release.check_version(now)
    yield from model.check_labelers(found.config.labelers)
    yield listeners.check_service(daemon)
    yield from listeners.check_listeners(found, daemon)
    yield from _way_in(found, daemon, now)
    yield answer.finding
    certificates = trusted_certificates(found.config.callback.ca)
    yield from reach.check_callbacks(found.config.callback.allow_hosts, certificates)
    yield event.check_event(found, path, daemon, environ)


def examine_event(path: Path | None, environ: Mapping[str, str]) -> Findings:
    """Send one event through the running service, and yield the findings; a failure if no service runs."""
    daemon, problem = _daemon(environ)
    if problem is not None:
        yield problem
        return
    if daemon is None:
        yield Group("service").failed("runs", "it does not run", "start it: sudo systemctl start camiohookd")
        return
    try:
        yield event.check_event(setup.read(path, environ), path, daemon, environ)
    except SetupError as error:
        yield _wrong_settings(error)


def _wrong_settings(error: SetupError) -> Finding:
    return _SETTINGS.failed("settings", str(error), "correct them, then run: sudo camiohookd check")


def _daemon(environ: Mapping[str, str]) -> tuple[RunningDaemon | None, Finding | None]:
    try:
        return find_daemon(environ), None
    except CamiohookdError as error:
        return None, Group("service").failed("control socket", str(error))


def _way_in(found: Setup, daemon: RunningDaemon | None, now: datetime) -> Iterator[Finding]:
    hook = found.config.hook
    authorities = trusted_certificates(found.config.callback.ca)
    seen = list(outside.check_outside(hook.public_url, authorities, daemon, now))
    yield from certificate.check_certificate(
        found.certificate,
        hook.public_url,
        authorities,
        now,
        is_behind_another=any(each.name == outside.REACHES and each.outcome == "ok" for each in seen),
    )
    yield from seen
