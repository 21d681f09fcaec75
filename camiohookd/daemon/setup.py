"""Everything that the owner's files say, read and checked together: settings, rules, keys and the certificate."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from camiohookd import rules
from camiohookd.config import admin_password, key_strength, load, paths
from camiohookd.config.admin_password import PasswordHash
from camiohookd.config.load import Config
from camiohookd.daemon import mqtt_access
from camiohookd.daemon.mqtt_access import MqttAccess
from camiohookd.delivery import trusted_certificates
from camiohookd.errors import ConfigError, SetupError
from camiohookd.labelers.open import known_labels
from camiohookd.net.addresses import is_loopback
from camiohookd.system.log_fields import about
from camiohookd.web.server import tls
from camiohookd.web.server.tls import Certificate

log = logging.getLogger("camiohookd.daemon")


@dataclass(frozen=True, slots=True)
class Setup:
    """`keys` are the API keys by the name that the log gives them; `certificate` is None for plain HTTP.

    `admin_certificate` and `admin_password` are those of the private listener, None if it has none. `path` is the
    settings file, None for the usual one; `mqtt` is None if there is no broker.
    """

    config: Config
    keys: Mapping[str, str] = field(repr=False)
    certificate: Certificate | None
    admin_certificate: Certificate | None = None
    admin_password: PasswordHash | None = None
    path: Path | None = None
    mqtt: MqttAccess | None = None


def read(path: Path | None, environ: Mapping[str, str]) -> Setup:
    """Read the settings file `path` (None: the usual one), the environment, and every file that they name.

    Raises ConfigError if any of it is wrong.
    """
    config, keys = load.load_with_keys(path, environ)
    trusted_certificates(config.callback.ca)  # only the next start uses it, but the owner should hear of a mistake now
    return Setup(
        config,
        keys,
        tls.load(config.hook.tls_cert, config.hook.tls_key),
        tls.load(config.admin.tls_cert, config.admin.tls_key, "admin"),
        _admin_password(config, path or paths.config_file(environ)),
        path,
        mqtt_access.read(config.mqtt),
    )


def _admin_password(config: Config, file: Path) -> PasswordHash | None:
    """Return the password of the private listener, whose file is beside `file`, the settings."""
    password = admin_password.read(file.with_name(admin_password.FILE_NAME))
    if password is None and not is_loopback(config.admin.listen.host):
        raise ConfigError(
            f'{file}: admin.listen: other machines can reach "{config.admin.listen}", which takes a password; '
            "make one: sudo camiohookd admin password"
        )
    return password


PLAIN_HTTP = "plain http, do not forward this port as it is"
"""What the status of the unit says; the package's postinst looks for the first two words."""


def is_open_and_plain(setup: Setup) -> bool:
    """Return whether other machines can reach the public listener by plain http."""
    return setup.certificate is None and not is_loopback(setup.config.hook.listen.host)


def plain_http_warning(setup: Setup) -> str | None:
    """Return what to tell the owner if events come in by plain http from other machines; None if not."""
    if not is_open_and_plain(setup):
        return None
    return (
        f"events are received by plain http on {setup.config.hook.listen} (hook.listen): anyone on the path can read "
        "the key and the pictures. Do not forward this port from the internet as it is. Either set a certificate "
        '(hook.tls_cert), or set listen = "127.0.0.1:8000" and let a tunnel or an https proxy on this machine pass '
        "the events on"
    )


def warn(setup: Setup) -> None:
    """Log a warning for each weak key, plain http, rules without effect, and a certificate that expires soon."""
    if (warning := plain_http_warning(setup)) is not None:
        log.warning("%s", warning, extra=about("plain_http"))
    admin = setup.config.admin
    if setup.admin_certificate is None and not is_loopback(admin.listen.host):
        message = (
            "the status page is served by plain http on %s (admin.insecure): anyone on that network can read the "
            "password and the pictures"
        )
        log.warning(message, admin.listen, extra=about("plain_http"))
    for name, key in setup.keys.items():
        if key_strength.is_weak(key):
            log.warning('the key "%s" is weak: %s', name, key_strength.WEAK, extra=about("weak_key"))
    _warn_of_rules(setup.config)
    warn_of_expiry(setup)


def _warn_of_rules(config: Config) -> None:
    try:
        known = known_labels(config.labelers)
    except SetupError:  # the start says it, and a reload does not change the labeler
        known = None
    for problem in rules.problems(config.rule, known):
        log.warning("%s", problem, extra=about("rule_problem"))


def warn_of_expiry(setup: Setup) -> None:
    """Log a warning if a certificate expires soon."""
    for certificate in (setup.certificate, setup.admin_certificate):
        if certificate is not None:
            tls.warn_of_expiry(certificate, datetime.now(UTC))
