"""Try whether labels could be delivered to a host, without sending any: name, addresses, connection, TLS."""

import socket
import ssl

from camiohookd.delivery.allow_list import Target
from camiohookd.net.urls import split_url
from camiohookd.next_try import DeliveryStep
from camiohookd.outgoing.adapter import tls_context
from camiohookd.outgoing.attempt import Attempt
from camiohookd.outgoing.dialer import Dialer
from camiohookd.outgoing.resolver import Resolver

SECONDS = 10.0


def try_target(target: Target, certificates: str, seconds: float = SECONDS) -> str | None:
    """Connect as a delivery would, and close; return why that fails, None if it works.

    `certificates` verify the server, as `ca_store.trusted_certificates` returns them; `seconds` bound each step.
    """
    origin, _ = split_url(target.url)
    host = origin.host.strip("[]")
    dialer = Dialer(Resolver())
    attempt = Attempt(
        lambda name, port, trial: dialer.dial(name, port, trial, any_address=target.any_address),
        connect=seconds,
        read=seconds,
        deadline=3 * seconds,
    )
    attempt.step = DeliveryStep.DIAL
    try:
        with attempt.dial(host, origin.port, attempt) as connection:
            if origin.scheme == "https":
                connection.settimeout(seconds)
                with tls_context(certificates).wrap_socket(connection, server_hostname=host):
                    pass
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"TLS failed: {error.reason or error}"
    except socket.gaierror as error:
        return f"its name cannot be resolved: {error.strerror}"
    except TimeoutError:
        return f"it did not answer within {seconds:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None
