"""Read the owner's files again on SIGHUP.

SIGHUP ─▶ `Reloader` ─▶ `setup.read` ─▶ the parts that can change while they run; the other settings need a restart
                             └─ wrong: the error is logged, and the daemon keeps what it has
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from operator import attrgetter

from camiohookd.config.load import SECTIONS, Config
from camiohookd.config.tables import settings_of
from camiohookd.daemon.setup import Setup, warn, warn_of_expiry
from camiohookd.errors import CamiohookdError
from camiohookd.system import systemd
from camiohookd.system.log_fields import about
from camiohookd.units import plural

AT_ONCE = {
    "hook.api_key",
    "hook.api_keys_file",
    "hook.public_url",
    "hook.query",
    "hook.tls_cert",
    "hook.tls_key",
    "callback.allow_hosts",
    "admin.tls_cert",
    "admin.tls_key",
    "admin.hosts",
    "labeler.detail",
    "labeler.static",
    "labeler.static_labels",
    "log.level",
}
"""The settings outside the rules that need no restart: a reload applies them, or only commands use them."""

REFUSED = "The last reload failed: see the log; the daemon keeps its earlier settings"

_DAY = 86400

log = logging.getLogger("camiohookd.daemon")


class Reloader:
    """Reads the owner's files again on request; belongs to the event loop.

    `started` is what the daemon started with. `use` takes what was read. `report` is called after each reload, to show
    systemd a new status line at once.
    """

    def __init__(
        self,
        started: Setup,
        read: Callable[[], Setup],
        use: Callable[[Setup], None],
        report: Callable[[], None] = lambda: None,
    ) -> None:
        self._started = self._setup = started
        self._read = read
        self._use = use
        self._report = report
        self.failed = False
        """Whether the last reload was refused."""

    @property
    def setup(self) -> Setup:
        """Return what the daemon uses now."""
        return self._setup

    async def run(self, wish: asyncio.Event) -> None:
        """Read again whenever `wish` is set, for ever; once a day, check when the certificate expires."""
        while True:
            try:
                async with asyncio.timeout(_DAY):
                    await wish.wait()
            except TimeoutError:
                warn_of_expiry(self._setup)
            else:
                wish.clear()
                await self.reload()

    async def reload(self) -> None:
        """Read again once; log the result and tell systemd."""
        # sd_notify(3): the time identifies this reload for systemd.
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            setup = await asyncio.to_thread(self._read)
            self._use(setup)
        except CamiohookdError as error:
            first, *more = str(error).split("\n")
            log.error("not reloaded, the earlier settings stay: %s", first, extra=about("reload_refused"))
            for line in more:  # the line of the file, and the caret below it
                log.error("%s", line, extra=about("reload_refused"))
            self.failed = True
        except Exception:
            log.exception("not reloaded, the earlier settings stay: unexpected error", extra=about("reload_refused"))
            self.failed = True
        else:
            self.failed = False
            self._setup = setup
            self._log_reload()
        systemd.notify("READY=1")
        self._report()

    def _log_reload(self) -> None:
        setup = self._setup
        warn(setup)
        if waiting := needs_restart(self._started.config, setup.config):
            log.warning(
                "%s changed; to apply: systemctl restart camiohookd", ", ".join(waiting), extra=about("restart_needed")
            )
        log.info(
            "reloaded: %s, keys %s, %s",
            plural(len(setup.config.rule), "rule"),
            ", ".join(setup.keys),
            f"certificate until {setup.certificate.expires.date()}" if setup.certificate else "plain http",
            extra=about("reloaded"),
        )


def needs_restart(old: Config, new: Config) -> list[str]:
    """Return the settings, such as ``queue.max_tasks``, that differ and that only a restart applies."""
    return [name for name in _differences(old, new) if name not in AT_ONCE]


def _differences(old: Config, new: Config) -> Iterator[str]:
    for section, kind in SECTIONS.items():
        for key in settings_of(kind):
            value = attrgetter(f"{section}.{key}")
            if value(old) != value(new):
                yield f"{section}.{key}"
    if old.more_labelers != new.more_labelers:
        yield "[[labeler]] (the second or a later one)"
