"""Read what the settings of the MQTT broker name: the password's file and the certificates. Raises ConfigError."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from camiohookd.config.settings import MqttSettings
from camiohookd.delivery import trusted_certificates
from camiohookd.errors import ConfigError
from camiohookd.system.permissions import reason

_PLAIN_PORT, _TLS_PORT = 1883, 8883


@dataclass(frozen=True, slots=True)
class MqttAccess:
    """`tls` is None for a plain connection."""

    port: int
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


def read(settings: MqttSettings) -> MqttAccess | None:
    """Return how to reach the broker, None if none is set. Raises ConfigError if a file cannot be used."""
    if not settings.host:
        return None
    tls = _tls(settings.ca) if settings.tls else None
    port = settings.port or (_TLS_PORT if settings.tls else _PLAIN_PORT)
    return MqttAccess(port, _password(settings.password_file), tls)


def _password(path: str) -> str:
    if not path:
        return ""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ConfigError(f"mqtt.password_file: {path} cannot be read: {reason(error, path)}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"mqtt.password_file: {path} is not UTF-8 text") from None
    return text.rstrip("\r\n")


def _tls(ca: str) -> ssl.SSLContext:
    path = Path(ca or trusted_certificates("system"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if path.is_dir():
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ConfigError(f"mqtt.ca: {path} contains no certificate") from None
    except OSError as error:
        raise ConfigError(f"mqtt.ca: {path} cannot be read: {reason(error, path)}") from None
    return context
