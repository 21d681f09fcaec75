"""Read the owner's files again on SIGHUP.

SIGHUP ─▶ `Reloader` ─▶ `setup.read` ─▶ the parts that can change while they run; the other settings need a restart
                             └─ wrong: the error is logged, and the daemon keeps what it has
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator

from camiohookd.config.load import SECTIONS, Config
from camiohookd.daemon.setup import Setup, warn, warn_of_expiry
from camiohookd.errors import CamiohookdError
from camiohookd.system import systemd

AT_ONCE = {
    "hook.api_key",
    "hook.api_keys_file",
    "hook.tls_cert",
    "hook.tls_key",
    "callback.allow_hosts",
    "log.level",
}
"""The settings outside the rules that hold without a restart."""

REFUSED = "The last reload failed, see the log; what held before it holds"

_DAY = 86400

log = logging.getLogger("camiohookd.daemon")


class Reloader:
    """Reads everything again when it is told to; belongs to the event loop.

    `use` is given what was read, and must take it. `started` is what the daemon began with.
    """

    def __init__(self, started: Setup, read: Callable[[], Setup], use: Callable[[Setup], None]) -> None:
        self._started = self._setup = started
        self._read = read
        self._use = use
        self.failed = False
        """Whether the last reload was refused."""

    @property
    def setup(self) -> Setup:
        """Return what the daemon uses now."""
        return self._setup

    async def run(self, wish: asyncio.Event) -> None:
        """Read again whenever `wish` is set, for ever; once a day, look at the certificate's end."""
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
        """Read again, once; whatever comes of it is in the log, and systemd is told."""
        # sd_notify(3): the time tells systemd which of several reloads this is.
        systemd.notify(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")
        try:
            setup = await asyncio.to_thread(self._read)
            self._use(setup)
        except CamiohookdError as error:
            log.error("not reloaded, everything stays as it was: %s", error)
            self._refuse()
            return
        except Exception:
            log.exception("not reloaded, for a reason that nobody thought of")
            self._refuse()
            return
        self.failed = False
        self._setup = setup
        self._tell()
        systemd.notify("READY=1\nSTATUS=Reloaded")

    def _refuse(self) -> None:
        self.failed = True
        systemd.notify(f"READY=1\nSTATUS={REFUSED}")

    def _tell(self) -> None:
        setup = self._setup
        warn(setup)
        if waiting := needs_restart(self._started.config, setup.config):
            log.warning("%s changed, which needs a restart to hold: systemctl restart camiohookd", ", ".join(waiting))
        log.info(
            "reloaded: %d rules, keys %s, %s",
            len(setup.config.rule),
            ", ".join(setup.keys),
            f"certificate until {setup.certificate.expires.date()}" if setup.certificate else "plain http",
        )


def needs_restart(old: Config, new: Config) -> list[str]:
    """The settings, such as ``queue.max_tasks``, that differ and hold only from the next start on."""
    return [name for name in _differences(old, new) if name not in AT_ONCE]


def _differences(old: Config, new: Config) -> Iterator[str]:
    for section, kind in SECTIONS.items():
        for key in kind.__struct_fields__:
            if getattr(getattr(old, section), key) != getattr(getattr(new, section), key):
                yield f"{section}.{key}"
