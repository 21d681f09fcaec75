"""All that the owner's files say, read together, and read again on SIGHUP.

settings, rules, keys, certificates ─▶ `read`, all of it checked ─▶ `Setup` ─▶ the daemon
                              SIGHUP ─▶ `Reloader` ─▶ `read` ─▶ the parts that can take it; the rest needs a restart
                                                         └─ bad: the error in the log, and all goes on as before
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from camiohookd.config import api_keys
from camiohookd.config import load as config
from camiohookd.config.load import Config
from camiohookd.delivery import trusted_certificates
from camiohookd.errors import CamiohookdError
from camiohookd.system import systemd
from camiohookd.web.server import tls
from camiohookd.web.server.tls import Certificate

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


@dataclass(frozen=True, slots=True)
class Setup:
    """`keys` by the name that the log gives them; `certificate` None for plain HTTP."""

    config: Config
    keys: Mapping[str, str] = field(repr=False)
    certificate: Certificate | None


def read(path: Path | None, environ: Mapping[str, str]) -> Setup:
    """Everything, from the settings' file `path` (None: the usual one) on; ConfigError if any of it is bad."""
    settings, keys = config.load_with_keys(path, environ)
    trusted_certificates(settings.callback.ca)  # used by the next start alone, but wrong now
    return Setup(settings, keys, tls.load(settings.hook.tls_cert, settings.hook.tls_key))


def warn(setup: Setup) -> None:
    """A line in the log for each key that could be guessed, and for a certificate that ends soon."""
    for name, key in setup.keys.items():
        if api_keys.is_weak(key):
            log.warning('the key "%s" is weak: %s', name, api_keys.WEAK)
    _warn_of_expiry(setup)


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

    async def run(self, wish: asyncio.Event) -> None:
        """Read again whenever `wish` is set, for ever; once a day, look at the certificate's end."""
        while True:
            try:
                async with asyncio.timeout(_DAY):
                    await wish.wait()
            except TimeoutError:
                _warn_of_expiry(self._setup)
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
    for section, kind in config.SECTIONS.items():
        for key in kind.__struct_fields__:
            if getattr(getattr(old, section), key) != getattr(getattr(new, section), key):
                yield f"{section}.{key}"


def _warn_of_expiry(setup: Setup) -> None:
    if setup.certificate is not None:
        tls.warn_of_expiry(setup.certificate, datetime.now(UTC))
