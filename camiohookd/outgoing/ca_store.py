"""Find the certificates that verify a server's TLS, by a setting such as ``[callback] ca``."""

import logging
import ssl
from pathlib import Path

from requests.utils import DEFAULT_CA_BUNDLE_PATH

from camiohookd.errors import ConfigError
from camiohookd.system.log_fields import about
from camiohookd.system.permissions import reason

CERTIFI: str = DEFAULT_CA_BUNDLE_PATH

log = logging.getLogger("camiohookd.delivery")


def trusted_certificates(setting: str, name: str = "callback.ca") -> str:
    """Return the path of a file of certificates (PEM), or of a folder of them in OpenSSL's layout.

    "system" means the operating system's store, or certifi's if there is none; "certifi" means certifi's; anything else
    is a path. Raises ConfigError, with the setting's `name`, if no certificate can be read there.
    """
    if setting == "system":
        return _system() or _instead_of_system()
    path = CERTIFI if setting == "certifi" else setting
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(path)
    except (ssl.SSLError, ValueError):
        why = "it contains no certificate"
    except OSError as error:
        why = reason(error, path)
    else:
        return path
    raise ConfigError(f'{name}: given "{setting}": {why}; expected "system", "certifi" or a file of certificates (PEM)')


def _system() -> str | None:
    paths = ssl.get_default_verify_paths()
    if paths.cafile and Path(paths.cafile).is_file():
        return paths.cafile
    if paths.capath and list(Path(paths.capath).glob("*")):
        return paths.capath
    return None


def _instead_of_system() -> str:
    log.warning(
        "no system certificate store found; using certifi's (to fix: apt install ca-certificates)",
        extra=about("no_certificate_store"),
    )
    return CERTIFI
