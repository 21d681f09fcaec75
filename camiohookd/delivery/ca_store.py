"""Which certificates a callback's TLS is verified by: the setting ``[callback] ca`` in, a file or a folder out."""

import logging
import ssl
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from camiohookd.errors import ConfigError
from camiohookd.system.permissions import remedy

CERTIFI: str = DEFAULT_CA_BUNDLE_PATH

log = logging.getLogger("camiohookd.delivery")


def trusted_certificates(setting: str) -> str:
    """The path of a file with certificates (PEM), or of a folder of them as OpenSSL keeps it.

    "system" is the operating system's store, or where it has none, certifi's, which "certifi" always is; anything else
    is a path. Raises ConfigError if there is no certificate.
    """
    if setting == "system":
        return _system() or _instead_of_system()
    path = CERTIFI if setting == "certifi" else setting
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) if not isinstance(error, ssl.SSLError) else None
        advice = remedy(path) if isinstance(error, PermissionError) else ""
        raise ConfigError(
            f'callback.ca: given "{setting}": {reason or "it holds no certificate"}{advice}; expected "system", '
            '"certifi" or a file of certificates (PEM)'
        ) from None
    return path


def _system() -> str | None:
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return paths.cafile
    if paths.capath and list(Path(paths.capath).glob("*")):
        return paths.capath
    return None


def _instead_of_system() -> str:
    log.warning('this system has no store of certificates (the package ca-certificates); those of "certifi" are used')
    return CERTIFI
