"""Find out before the first event whether the hook answers at all, and if not, why."""

import asyncio
import ssl

from camiohookd.camio.simulator.fake_camio import FakeCamio
from camiohookd.errors import CamiohookdError
from camiohookd.net.urls import Origin

PROBE_SECONDS = 3.0


async def check_hook(camio: FakeCamio, hook: Origin, timeout: float) -> None:
    """Ask the hook for ``/tasks``; any HTTP answer will do. Raises CamiohookdError, which says what to change.

    `timeout` is in seconds; a hook that is slow to answer passes, since the events wait for it themselves.
    """
    try:
        await camio.get(f"{hook}/tasks", min(timeout, PROBE_SECONDS))
    except ssl.SSLCertVerificationError as error:
        raise CamiohookdError(
            f"{hook}: the certificate is not trusted: {error.verify_message}. "
            "Use the certificate's own name in --url, or --insecure to accept every certificate"
        ) from None
    except ssl.SSLError:
        raise _no_https(hook) from None
    except TimeoutError:
        # A plain http server may wait for the rest of what it takes for a request.
        if hook.scheme == "https" and not await _speaks_tls(hook):
            raise _no_https(hook) from None
    except OSError as error:
        if hook.scheme == "http" and await _speaks_tls(hook):
            use = hook._replace(scheme="https")
            raise CamiohookdError(f"{hook} speaks https, not plain http: use --url {use}") from None
        raise CamiohookdError(
            f"no answer from {hook}: {error.strerror or error}; is the daemon running? See systemctl status camiohookd"
        ) from None


def _no_https(hook: Origin) -> CamiohookdError:
    return CamiohookdError(f"{hook} does not speak https: use --url {hook._replace(scheme='http')}")


async def _speaks_tls(hook: Origin) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            _, writer = await asyncio.open_connection(hook.host.strip("[]"), hook.port, ssl=context)
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
